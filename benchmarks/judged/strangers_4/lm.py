import sys,json,math,datetime as dt
from gen_common import *
OUT=sys.argv[1]
TPS=524288
AB=dt.datetime(2024,5,12,9,31,2)
def curve(t,final,lrmul=1.0):
    lrf=min(1,t/.03)*(0.1+.9*.5*(1+math.cos(math.pi*min(t,1))))
    return final+.10*(lrf-.1)+1.0*((t+.02)**-.35-1.02**-.35), lrf
DATA={'fineweb_v1':('data/fineweb_v1/train_*.bin',990,'data/fineweb_v1/val_*.bin'),
      'fineweb_v2_dedup':('data/fineweb_v2_dedup/train_*.bin',871,'data/fineweb_v2_dedup/val_*.bin'),
      'fineweb_v3':('data/fineweb_v3/shard_*.bin',1000,'data/fineweb_v3/shard_099?.bin')}
def cfg(nm,N,lr,qk,act,zl,data,tok,seed,opt,world=8):
    tg,n,vg=DATA[data]
    L,D={20:(6,512),40:(8,640),80:(10,768),160:(12,1024),320:(20,1152)}[N]
    return dict(name=nm,seed=seed,model=dict(n_layer=L,d_model=D,n_head=D//64,vocab_size=50304,qk_norm=qk,act=act,params_m=N,ffn_mult=2.667 if act=='swiglu' else 4),
      optim=dict(name=opt,lr=lr,betas=[.9,.95],weight_decay=.1,grad_clip=1.0,warmup_frac=.03,schedule='cosine',min_lr_ratio=.1,z_loss=zl),
      data=dict(name=data,train_glob=tg,val_web_glob=vg,val_books_glob='data/pg19_val/*.bin',val_code_glob='data/code_val/*.bin',seq_len=1024),
      trainer=dict(world_size=world,micro_batch=16,grad_accum=4,tokens_per_step=TPS,max_steps=int(round(tok/TPS)),val_every=250,log_every=50,ckpt_every=1000,precision='bf16',slurm_time='08:00:00'))
def hyd(d,c,ov,job):
    wy(d+'/.hydra/config.yaml',c,False); wr(d+'/.hydra/overrides.yaml',''.join(f"- {o}\n" for o in ov))
    wy(d+'/.hydra/hydra.yaml',dict(hydra=dict(job=dict(name='train',num=job,override_dirname=','.join(ov)),mode='MULTIRUN',runtime=dict(version='1.3.2',choices=dict(data=c['data']['name'],optim=c['optim']['name'])),sweep=dict(dir='multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}',subdir='${hydra.job.num}'))),False)
def run(d,c,ov,job,t0,final,books,code,tb=False,spikes=(),nan=None,tlimit=None,start=0,train_off=0.0,rk=''):
    hyd(d,c,ov,job); r=rng('lm',rk)
    S=c['trainer']['max_steps']; sp=(.9*(c['model']['params_m']/160)**1.85+.12)*(1.05 if c['optim']['name']=='muon' else 1)
    lg=lambda s,lv,m: LOG.append(f"[{t0+dt.timedelta(seconds=int((s-start)*sp))},{(137+37*len(LOG))%1000:03d}][__main__][{lv}] - {m}")
    LOG=[]; tg,n,vg=DATA[c['data']['name']]
    lg(start,'INFO',f"host=hpc-a{int(r.integers(10,40))} git=7d2f9aa params={c['model']['params_m']}M")
    lg(start,'INFO',f"train: {n} shards matching {tg}, {n*1048576/1e9:.3f}B tokens ({S*TPS/(n*1048576):.2f} epochs)")
    lg(start,'INFO',f"val_web: 10 shards matching {vg} tokens=10485760 sha1=5b0e41c7"); lg(start,'INFO',"val_books: 4 shards sha1=91c2aa07; val_code: 4 shards sha1=e07f33d8")
    if start: lg(start,'INFO',f"resuming from {ov_from} step={start}")
    rows=[]; J=[]; bump=0.0
    for s in range(start,S+1,50):
        if s==0: continue
        t=s/S; v,lrf=curve(t,final)
        tr=v-.02+train_off+r.normal(0,.025); gn=.35+abs(r.normal(0,.05))
        for k,(ss,hh) in enumerate(spikes):
            if 0<=s-ss<400: 
                b=hh*math.exp(-(s-ss)/90); tr+=b; gn+=b*14
                if s==ss: lg(s,'WARNING',f"loss spike: step={s} loss={tr:.3f} grad_norm={gn:.1f}")
        if nan and s>=nan:
            lg(s,'ERROR',f"non-finite loss at step {nan} (grad_norm=inf); aborting"); break
        if tlimit and s>tlimit: break
        wt=(t0-dt.datetime(1970,1,1)).total_seconds()+(s-start)*sp
        row=dict(step=s,tokens=s*TPS,train_loss=round(tr,4),lr=c['optim']['lr']*lrf,grad_norm=round(gn,3),tok_per_s=int(TPS/sp*(1+r.normal(0,.01))))
        val=None
        if s%250==0 or s>S-50:
            b=sum(hh*.6*math.exp(-(s-ss)/90) for ss,hh in spikes if 0<=s-ss<400)
            val=dict(web=v+b+r.normal(0,.0008),books=v+b+books-final+r.normal(0,.001),code=v+b+code-final+r.normal(0,.0015))
        if tb:
            for k in ('train_loss','lr','grad_norm'): rows.append((wt,s,{'train_loss':'train/loss','lr':'train/lr','grad_norm':'train/grad_norm'}[k],row[k]))
            if val: rows+= [(wt,s,'val/loss_'+k,x) for k,x in val.items()]
        else:
            if val: row.update({'val_'+k+'_loss':round(x,4) for k,x in val.items()})
            J.append(json.dumps(row))
        if val: lg(s,'INFO',f"step {s}/{S} val_web {val['web']:.4f} val_books {val['books']:.4f} val_code {val['code']:.4f}")
        if s%1000==0: lg(s,'INFO',f"saved ckpt_{s:06d}.pt")
    else: lg(S,'INFO',f"done: {S} steps, {S*TPS/1e9:.2f}B tokens")
    txt='\n'.join(LOG)+'\n'
    if tlimit: txt+=f"slurmstepd: error: *** JOB {40000+int(r.integers(0,9999))} ON hpc-a17 CANCELLED AT {t0+dt.timedelta(hours=8):%Y-%m-%dT%H:%M:%S} DUE TO TIME LIMIT ***\n"
    wr(d+'/train.log',txt)
    if tb: tb_write(d+f"/tb/events.out.tfevents.{int((t0-dt.datetime(1970,1,1)).total_seconds())}.hpc-a17.{1000+job}.0",rows,(t0-dt.datetime(1970,1,1)).total_seconds())
    else: wr(d+'/metrics.jsonl','\n'.join(J)+'\n')
ov_from=''
LRQ={(6e-4,False):3.142,(1e-3,False):3.120,(2e-3,False):3.163,(6e-4,True):3.143,(1e-3,True):3.115,(2e-3,True):3.097}
sweeps=[]
def one(grp,t0,job,final,N=160,lr=1e-3,qk=False,act='gelu',zl=0.0,data='fineweb_v1',tok=3.2e9,seed=0,opt='adamw',dbk=0.0,dcd=0.0,ov=(),**k):
    rk=f"{grp}-{N}-{lr}-{qk}-{act}-{zl}-{data}-{tok}-{seed}-{opt}"; r=rng('seed',rk)
    f=final+r.normal(0,.004); fb=f+.31+dbk+r.normal(0,.003); fc=f-.95+dcd+r.normal(0,.004)
    c=cfg(grp,N,lr,qk,act,zl,data,tok,seed,opt)
    base='multirun' if not k.get('tb') else 'scaling'
    sub=k.pop('sub',str(job)); d=mk(OUT,base,f"{t0:%Y-%m-%d}",f"{t0:%H-%M-%S}",sub)
    run(d,c,list(ov)+[f"seed={seed}"],job,t0+dt.timedelta(minutes=101*job),f,fb,fc,rk=rk+sub,**k)
j=0; t=AB
for (lr,qk),f in LRQ.items():
    for s in range(3):
        r=rng('spk',lr,qk,s); k={}
        if lr==2e-3 and not qk:
            k['spikes']=[(int(x)//50*50,float(r.uniform(.6,2.4))) for x in sorted(r.uniform(900,5200,5))]
            if s==1: k['nan']=4150; k['spikes']=[x for x in k['spikes'] if x[0]<3900]+[(4050,2.8)]
        elif lr==1e-3 and not qk: k['spikes']=[(int(r.uniform(1500,4500))//50*50,float(r.uniform(.4,.8)))]
        one('lr_qknorm',t,j,f+(.012*(s-1) if lr==2e-3 and not qk else 0),lr=lr,qk=qk,seed=s,ov=[f"optim.lr={lr}",f"model.qk_norm={str(qk).lower()}"],**k); j+=1
t=dt.datetime(2024,5,15,18,2,44); j=0
for s in range(3): one('zloss',t,j,3.119,zl=1e-4,seed=s,ov=['optim.z_loss=1e-4']); j+=1
t=dt.datetime(2024,5,16,22,40,10); j=0
for s in range(3): one('swiglu',t,j,3.081,act='swiglu',seed=s,tok=4.0e9,ov=['model.act=swiglu','trainer=long']); j+=1
t=dt.datetime(2024,5,18,8,15,31); j=0
for s in range(2): one('base_long',t,j,3.090,seed=s,tok=4.0e9,ov=['trainer=long']); j+=1
t=dt.datetime(2024,5,19,11,5,53); j=0
for s in range(3): one('data',t,j,3.109,data='fineweb_v2_dedup',seed=s,dbk=-.004,dcd=-.0,ov=['data=fineweb_v2_dedup'],train_off=.02); j+=1
for s in range(3): one('data',t,j,3.034,data='fineweb_v3',seed=s,dbk=.093,dcd=.087,ov=['data=fineweb_v3'],train_off=.075); j+=1
t=dt.datetime(2024,5,24,17,20,5); j=0
LA=lambda N:1.85+55.2*(N*1e6)**-.2
MU={20:-.050,40:-.034,80:-.021,160:-.010,320:.001}
for N in (20,40,80,160):
    for o in ('adamw','muon'):
        for s in range(2):
            one('scaling',t,j,LA(N)+(MU[N] if o=='muon' else 0),N=N,seed=s,opt=o,tok=20e6*N,qk=True,tb=True,ov=[f"model=gpt_{N}m",f"optim={o}"]); j+=1
t=dt.datetime(2024,5,29,7,44,38); j=0
for (o,s,tl) in (('adamw',0,8550),('adamw',1,8550),('muon',0,8150)):
    one('scaling',t,j,LA(320)+(MU[320] if o=='muon' else 0),N=320,seed=s,opt=o,tok=6.4e9,qk=True,tb=True,tlimit=tl,ov=["model=gpt_320m",f"optim={o}"]); j+=1
ov_from='scaling/2024-05-29/07-44-38/0/ckpt_008000.pt'
one('scaling',dt.datetime(2024,5,30,9,3,12),0,LA(320),N=320,seed=0,opt='adamw',tok=6.4e9,qk=True,tb=True,start=8000,ov=["model=gpt_320m","optim=adamw","trainer.resume=scaling/2024-05-29/07-44-38/0"])
wr(OUT+'/README.md',"""# lm-ablations

Decoder-only LM, GPT-2 BPE, ctx 1024, Hydra. Loss in nats/token on three validation sets:
web (main), books (PG19), code.

- `multirun/DATE/TIME/JOB/` ablations at 160M params (`metrics.jsonl`, `train.log`, `.hydra/`)
- `scaling/DATE/TIME/JOB/` scaling study, TensorBoard in `tb/`, 20 tokens per parameter, qk-norm on, AdamW vs Muon

Standard ablation: 3.2B tokens, lr 1e-3, gelu, fineweb_v1. The decision at the end is the recipe of the
1.0B model (20B tokens, one shot, about 900 GPU-h). For further ablations at 160M we have at most 12 runs;
a 320M run costs as much as six of those and does not fit the 8 h queue limit in one go.
""")
