import sys,math,datetime as dt
from gen_common import *
OUT=sys.argv[1]
DS={'halfcheetah-medium-v2':dict(b=47.2,sd=.5,en=.6,lr=-.9,t9=-.9,ref=(-280.18,12135.0)),
 'hopper-medium-v2':dict(b=66.,sd=3.2,en=7.5,lr=-5.,t9=-6.,ref=(-20.27,3234.3)),
 'walker2d-medium-replay-v2':dict(b=73.,sd=3.2,en=6.5,lr=-5.,t9=-7.,ref=(1.63,4592.3)),
 'antmaze-medium-play-v2':dict(b=50.,sd=4.,en=4.5,lr=-5.,t9=20.,ref=(0.,1.))}
TC={1e-4:400.,3e-4:180.,1e-3:60.}
T0=dt.datetime(2024,1,15,19,5,11)
CF=('tau','beta','lr','layernorm')
def final(ds,tau,beta,lr,ln,seed,key,v0=False):
    D=DS[ds]; r=rng('off',ds,tau,beta,lr,ln,seed,key)
    s=D['b']+D['t9']*{.7:0,.8:.45,.9:1}[tau]+({1e-3:1.,3e-4:0.,1e-4:.4}[lr])*D['lr']+r.normal(0,D['sd'])+r.normal(0,.25*D['sd'])*(beta==10)
    if v0: s-=14.5
    return s
def curve(ds,f,lr,diverge,key,end,raw):
    D=DS[ds]; r=rng('offc',key); T=TC[lr]; out=[]
    for k in range(20,end+1,20):
        g=(1-math.exp(-k/T))/(1-math.exp(-1000/T)); s=f*g+r.normal(0,D['en'])*(.4+.6*g)
        q=(3.2 if 'antmaze' not in ds else .3)*100*g*(1+r.normal(0,.02)); cl=.9+.3*g+r.normal(0,.02)
        if 'antmaze' in ds: q=-38+12*g+r.normal(0,.3)
        if diverge and k>diverge:
            z=(k-diverge)/20; q=300*math.exp(min(.55*z,14)); cl=q*q*.02; s=max(0,s*math.exp(-.5*z))
        s=max(s,0.) if 'antmaze' in ds else s
        if 'antmaze' in ds: s=min(round(s),100)
        lo,hi=D['ref']; rr=s/100*(hi-lo)+lo
        out.append((k*1000,rr if raw else s,rr,q,cl))
    return out
n=[0]
def write(ds,tau,beta,lr,ln,seed,group,end,host,commit,raw,v0,diverge,how,key,f,trial=None):
    n[0]+=1; t=T0+dt.timedelta(minutes=47*n[0]); rid=h('rid',key); d=mk(OUT,'wandb',f"run-{t:%Y%m%d_%H%M%S}-{rid}",'files')
    env=ds.replace('-v2','-v0') if v0 else ds
    C=dict(env=env,algo='iql',expectile=tau,temperature=float(beta),lr=lr,layernorm=ln,batch_size=256,discount=.99,hidden_dims=[256,256],max_steps=1000000,eval_interval=20000,eval_episodes=100 if 'antmaze' in ds else 10,seed=seed,group=group)
    if trial is not None: C['optuna_trial']=trial
    y={k:dict(desc=None,value=v) for k,v in C.items()}; y['wandb_version']=1
    y['_wandb']=dict(desc=None,value=dict(python_version='3.9.18',cli_version='0.16.2',framework='torch'))
    wy(d+'/config.yaml',y)
    args=[f'--env={env}',f'--expectile={tau}',f'--temperature={beta}',f'--lr={lr}',f'--seed={seed}']+(['--layernorm'] if ln else [])
    wr(d+'/wandb-metadata.json',json.dumps(dict(os='Linux-5.15.0-91-generic-x86_64-with-glibc2.31',python='3.9.18',startedAt=f"{t:%Y-%m-%dT%H:%M:%S}.{n[0]:06d}",args=args,program='train_iql.py',git=dict(commit=commit),host=host,gpu='NVIDIA GeForce RTX 2080 Ti' if host=='old03' else 'NVIDIA A40',gpu_count=1),indent=4))
    R=curve(ds,f,lr,diverge,key,end,raw)
    wr(d+'/progress.csv','step,eval/score,eval/return_mean,train/q_mean,train/critic_loss\n'+''.join(f"{a},{b:.4f},{c:.4f},{q:.4f},{cl:.5f}\n" for a,b,c,q,cl in R))
    O=[f"Loading dataset {env} ... {'998999' if 'halfcheetah' in ds else ('999906' if 'hopper' in ds else ('100930' if v0 else '301698') if 'walker' in ds else '999092')} transitions",f"IQL expectile={tau} temperature={beta} lr={lr} layernorm={ln}"]
    O+=[f"[{a:>7d}] eval/score {b:.2f} (return {c:.2f}) q {q:.2f} critic_loss {cl:.4g}" for a,b,c,q,cl in R]
    S={'_step':R[-1][0],'_runtime':R[-1][0]*.0112,'eval/score':R[-1][1],'eval/best_score':max(x[1] for x in R),'eval/return_mean':R[-1][2],'train/q_mean':R[-1][3],'train/critic_loss':R[-1][4]}
    if how=='pruned': O+=[f"[optuna] Trial {trial} pruned by SuccessiveHalvingPruner at step {R[-1][0]}"]; S['pruned']=True
    elif how=='ok': O+=["Training finished."]
    elif how=='crash': O+=["Traceback (most recent call last):",'  File "train_iql.py", line 141, in evaluate','mujoco_py.builder.MujocoException: Got MuJoCo Warning: Nan, Inf or huge value in QACC at DOF 0. The simulation is unstable.']
    wr(d+'/output.log','\n'.join(O)+'\n')
    if how!='silent': wr(d+'/wandb-summary.json',json.dumps(S))
    return R
# ---- search with successive halving (rungs 100k, 300k), keep best third
for ds in DS:
    r=rng('search',ds); P=[]
    for i in range(24):
        p=dict(tau=float(r.choice([.7,.8,.9])),beta=int(r.choice([3,10])),lr=float(r.choice([1e-4,3e-4,1e-3])),ln=bool(r.random()<.5),seed=0)
        p['raw']=ds.startswith('hopper') and i<7; p['i']=i; p['key']=f'{ds}-t{i}'
        p['f']=final(ds,p['tau'],p['beta'],p['lr'],p['ln'],0,i)
        p['div']=int(r.integers(6,20))*20 if ('antmaze' in ds and p['lr']==1e-3 and not p['ln'] and r.random()<.35) else None
        p['c']=curve(ds,p['f'],p['lr'],p['div'],p['key'],1000,p['raw']); P.append(p)
    at=lambda p,k:p['c'][k//20-1][1]
    a=sorted(P,key=lambda p:-at(p,100))[:9]; b=sorted(a,key=lambda p:-at(p,300))[:4]
    for p in P:
        end=1000 if p in b else (300 if p in a else 100)
        host='old03' if p['raw'] else 'a40-%d'%(p['i']%4)
        write(ds,p['tau'],p['beta'],p['lr'],p['ln'],0,'search',end,host,h('old' if p['raw'] else 'new',n=40),p['raw'],False,p['div'],'ok' if end==1000 else 'pruned',p['key'],p['f'],p['i'])
# ---- fixed budget
G=[('base',.7,3e-4,False),('ln',.7,3e-4,True),('lr1e-3',.7,1e-3,False),('tau0.9',.9,3e-4,False)]
for g,tau,lr,ln in G:
    for ds in DS:
        for s in range(4):
            v0=(g=='base' and ds.startswith('walker')); key=f'fix-{g}-{ds}-{s}'; end,how,div=1000,'ok',None
            f=final(ds,tau,3,lr,ln,s,key,v0)
            if g=='lr1e-3' and 'antmaze' in ds and s==2: div=460
            if g=='tau0.9' and ds.startswith('hopper') and s==3: end,how=540,'silent'
            if g=='ln' and ds.startswith('halfcheetah') and s==1: end,how=380,'crash'
            if g=='ln' and ds.startswith('hopper') and s==2: f=max(f,74.5)
            write(ds,tau,3,lr,ln,s,'fixed/'+g,end,'a40-%d'%(s%4),h('fix0' if g=='base' else 'new',n=40),False,v0,div,how,key,f)
wr(OUT+'/README.md',"""# iql-d4rl

IQL on four D4RL datasets. Local W&B folders (offline mode), with `progress.csv` next to the summary.

- group `search`: Optuna, 24 trials per dataset over expectile, temperature, lr, layernorm,
  SuccessiveHalving at 100k and 300k steps, up to 1M steps
- group `fixed/*`: no pruning, 1M steps, seeds 0-3. base = expectile 0.7, temperature 3, lr 3e-4, no layernorm;
  the other groups change one thing each (ln, lr1e-3, tau0.9)

Scores are D4RL normalised (0-100). Evaluation every 20k steps, 10 episodes (antmaze 100).
A 1M run takes about 3 h. We want one setting, or one per dataset family, for the paper table; 24 more
full runs fit before the deadline.
""")
