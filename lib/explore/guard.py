"""Who may ask `browse`: the user who started it, through the address that it printed, and no other page.

Any page in the user's browser can send requests to this machine. Three things tell them apart:

- the host by which it is called: a page elsewhere could make up a name for this address, and read along;
- `Sec-Fetch-Site`, in which the browser says whose page asks; another program's page on this machine, too, is
  another's, although the browser sends it our cookie;
- a token that only the printed address has. The first answer puts it into a cookie.
"""

import secrets

from datasette import Response
from datasette.utils import path_with_removed_args
from datasette.utils.asgi import Request

HERE = ("127.0.0.1", "localhost")
OWN_PAGES = (None, "none", "same-origin")  # of another program or an old browser, of the address bar, of ours
NOT_HERE = "403: open it as http://127.0.0.1 or http://localhost"
NOT_OURS = "403: another page sent you here; paste the address that `browse` printed into the address bar"
NO_TOKEN = "403: open the address that `browse` printed when it started; this one has no token, or an old one"


def guarded(app, token: str, ticket: str, port: int):
    """Wrap an ASGI app: it answers whoever shows the token, in the address or in the cookie.

    A ticket is as good as the token, but only once: other users see the address with which a browser is
    started.
    """
    tickets = {ticket}
    name = f"browse-{port}"  # all ports of a machine share its cookies
    cookie = f"{name}={token}"

    async def guard(scope, receive, send):
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        request = Request(scope, receive)
        if request.host.partition(":")[0] not in HERE:
            answer = Response.text(NOT_HERE, 403)
        elif request.headers.get("sec-fetch-site") not in OWN_PAGES:
            answer = Response.text(NOT_OURS, 403)
        elif (shown := request.args.get("token") or "") in tickets or _same(shown, token):
            tickets.discard(shown)
            answer = Response.redirect(path_with_removed_args(request, {"token"}))
            answer.set_cookie(name, token, httponly=True, samesite="strict")
        elif any(_same(part, cookie) for part in request.headers.get("cookie", "").split("; ")):
            return await app(scope, receive, send)
        else:
            answer = Response.text(NO_TOKEN, 403)
        await answer.asgi_send(send)
    return guard


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(), secret.encode())
