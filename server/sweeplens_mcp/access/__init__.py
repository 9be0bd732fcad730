"""Who may ask, and what they may see: grants, static tokens, an OAuth 2.1 resource server.

grants.py   Grant: a name and the roots that it may see; `current_grant` is that of the request being served
tokens.py   StaticTokens: bearer tokens from a file or the environment, compared in constant time
oauth.py    OAuthTokens: JWTs of an issuer, checked against its rotating keys
"""
