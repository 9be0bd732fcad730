import os, json, struct, hashlib, datetime as dt
import numpy as np, yaml
def mk(*p):
    d=os.path.join(*p); os.makedirs(d,exist_ok=True); return d
def wr(p,s):
    os.makedirs(os.path.dirname(p),exist_ok=True)
    with open(p,'w') as f: f.write(s)
def wy(p,o,sort=True): wr(p,yaml.safe_dump(o,sort_keys=sort,default_flow_style=False))
def h(*a,n=8): return hashlib.sha1('|'.join(map(str,a)).encode()).hexdigest()[:n]
def rng(*a): return np.random.default_rng(int(h(*a,n=12),16))
# tensorboard event files
_T=[]
for i in range(256):
    c=i
    for _ in range(8): c=(c>>1)^(0x82F63B78 if c&1 else 0)
    _T.append(c)
def crc(b):
    c=0xffffffff
    for x in b: c=_T[(c^x)&255]^(c>>8)
    c^=0xffffffff
    return (((c>>15)|(c<<17))+0xa282ead8)&0xffffffff
def vi(n):
    o=b''
    while True:
        if n<128: return o+bytes([n])
        o+=bytes([n&127|128]); n>>=7
def _rec(d):
    l=struct.pack('<Q',len(d)); return l+struct.pack('<I',crc(l))+d+struct.pack('<I',crc(d))
def tb_write(path,rows,t0):
    os.makedirs(os.path.dirname(path),exist_ok=True)
    out=[_rec(b'\x09'+struct.pack('<d',t0)+b'\x1a'+vi(13)+b'brain.Event:2')]
    for (wt,step,tag,val) in rows:
        t=tag.encode(); v=b'\x0a'+vi(len(t))+t+b'\x15'+struct.pack('<f',val)
        s=b'\x0a'+vi(len(v))+v
        out.append(_rec(b'\x09'+struct.pack('<d',wt)+b'\x10'+vi(step)+b'\x2a'+vi(len(s))+s))
    with open(path,'wb') as f: f.write(b''.join(out))
