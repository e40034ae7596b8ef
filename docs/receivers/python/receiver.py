"""Receives what marketplace-fulfillment sends to a publisher's own software: events, commands, and buyers.

How to run it: ../README.md. What is to be replaced by your own is marked REPLACE.
"""

import json
import os
import sqlite3
import sys
import traceback
from contextlib import closing
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import jwt
from standardwebhooks import Webhook

PORT = int(os.environ.get("PORT", "3000"))
FULFILLMENT = os.environ.get("FULFILLMENT_URL", "http://127.0.0.1:7071").rstrip("/")
# As it stands in fulfillment's setting of the same name: a hand-off for another address is not for us.
HANDOFF_URL = os.environ.get("PUBLISHER_HANDOFF_URL", f"http://127.0.0.1:{PORT}/handoff")
# One secret, or two while one takes over from the other.
SECRETS = [secret for secret in os.environ.get("PUBLISHER_EVENTS_SECRET", "").split(",") if secret]
if not SECRETS:
    sys.exit("PUBLISHER_EVENTS_SECRET is missing: what fulfillment signs with; `fulfillment dev` prints its own")
WEBHOOKS = [Webhook(secret.strip()) for secret in SECRETS]
PROVISION = os.environ.get("PROVISION", "now")
DECIDE = os.environ.get("DECIDE", "accept")

BODY_LIMIT = 256 * 1024  # bytes; fulfillment sends 64 KiB at most
PATIENCE = 10  # seconds, for a client that stops in the middle
CLOCK_TOLERANCE = 60  # seconds by which two clocks may differ

# What is known. REPLACE by your database: each table has the key that it needs to tell a repetition.
DATABASE = os.environ.get("DATABASE", "receiver.sqlite3")
TABLES = """
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS subscriptions
    (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, type TEXT NOT NULL, subscription TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS provisioned (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS handoffs
    (jti TEXT PRIMARY KEY, claims TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


def database():
    return closing(sqlite3.connect(DATABASE, timeout=5))


# Events: each arrives at least once, those of one subscription in order.


def receive(event):
    with database() as db, db:  # one transaction: an error undoes all of it, and the event is sent again
        if not db.execute("INSERT INTO events (id) VALUES (?) ON CONFLICT DO NOTHING", [event["id"]]).rowcount:
            return 200, {}  # sent again, because our answer was lost
        subscription = event["data"].get("subscription")
        if subscription:
            # Every event carries the whole subscription: the newest is all there is to know. A replay brings
            # older ones, which change nothing.
            db.execute(
                """INSERT INTO subscriptions (id, sequence, type, subscription) VALUES (?, ?, ?, ?)
                   ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, type = excluded.type,
                       subscription = excluded.subscription WHERE excluded.sequence > subscriptions.sequence""",
                [event["subject"], int(event["sequence"]), event["type"], json.dumps(subscription)],
            )
        # An event is tried for two days.
        db.execute("DELETE FROM events WHERE at < datetime('now', '-30 days')")
        happened(event["type"], subscription)
    return 200, {}


def happened(kind, subscription):
    """REPLACE: once per event, in whatever order: a mail, a line in your audit log. What holds now is in the table."""
    about = f"{subscription['id']} {subscription['status']} {subscription['planId']}" if subscription else ""
    print(kind, about, flush=True)


# Commands: somebody waits for the answer.


def provision(command):
    """REPLACE: make the account. Asked again about the same subscription, it is still one account."""
    if PROVISION == "refuse":
        return 422, {"reason": "We cannot serve your country yet"}
    with database() as db, db:
        subscription = command["data"]["subscription"]["id"]
        new = db.execute("INSERT INTO provisioned VALUES (?) ON CONFLICT DO NOTHING", [subscription]).rowcount
    return (202, {}, {"retry-after": "5"}) if PROVISION == "later" and new else (200, {})


def decide(command):
    """REPLACE: may this customer make this change? `from` and `to` have planId and quantity. Answer at once."""
    to = command["data"]["change"]["to"]
    if DECIDE == "refuse":
        return 200, {"decision": "refuse", "reason": f"Not to {to['planId']} {to.get('quantity') or ''}"}
    return 200, {"decision": "accept"}


# Hand-off: a buyer's browser brings a token that says who they are and which subscription they come from.

# Kept for five minutes; an unknown key id has them fetched again, at most once a minute.
KEYS = jwt.PyJWKClient(f"{FULFILLMENT}/api/keys", lifespan=300, timeout=5, cooldown_duration=60)


def hand_off(token):
    """The claims of a token that is good and new; raises jwt.PyJWTError otherwise."""
    claims = jwt.decode(
        token,
        KEYS.get_signing_key_from_jwt(token),
        algorithms=["ES256"],
        issuer=FULFILLMENT,
        audience=HANDOFF_URL,
        leeway=CLOCK_TOLERANCE,
        options={"require": ["exp", "jti", "sub"]},
    )
    shown = json.dumps({key: claims.get(key) for key in ("purpose", "subscription", "person")})
    with database() as db, db:
        row = [claims["jti"], shown]
        if not db.execute("INSERT INTO handoffs (jti, claims) VALUES (?, ?) ON CONFLICT DO NOTHING", row).rowcount:
            raise jwt.InvalidTokenError("used before")
        db.execute("DELETE FROM handoffs WHERE at < datetime('now', '-30 days')")
        # REPLACE: sign the person in with a session of your own. `setup` comes before billing starts, `open` after.
    return claims


# HTTP. REPLACE by your framework; what counts is the body's bytes as they came. The address is this machine's only:
# `/` and `/state` show names to whoever asks.


def state():
    with database() as db:
        known = db.execute("SELECT id, sequence, type, subscription FROM subscriptions").fetchall()
        provisioned = db.execute("SELECT id FROM provisioned").fetchall()
        handoffs = db.execute("SELECT claims FROM handoffs ORDER BY rowid").fetchall()
        return {
            "events": db.execute("SELECT count(*) FROM events").fetchone()[0],
            "subscriptions": {
                key: {"sequence": str(sequence), "type": kind, "subscription": json.loads(subscription)}
                for key, sequence, kind, subscription in known
            },
            "provisioned": [key for (key,) in provisioned],
            "handoffs": [json.loads(claims) for (claims,) in handoffs],
        }


def page():
    def row(*cells):
        return "<tr>" + "".join(f"<td>{escape('' if cell is None else str(cell))}</td>" for cell in cells) + "</tr>"

    known, people = row("id", "plan", "seats", "status", "event", "sequence"), row("to", "who", "subscription")
    shown = state()
    for key, entry in shown["subscriptions"].items():
        now = entry["subscription"]
        known += row(key, now["planId"], now["quantity"], now["status"], entry["type"], entry["sequence"])
    for entry in shown["handoffs"]:
        person = entry["person"] or {}
        people += row(entry["purpose"], person.get("name") or person.get("username"), entry["subscription"]["id"])
    return f"""<!doctype html><title>Receiver</title>
        <h1>Subscriptions</h1><table>{known}</table><h1>Handed over</h1><table>{people}</table>"""


def verified(headers, body):
    """The message, if one of our secrets signed these very bytes within the last five minutes."""
    wrong = None
    for webhook in WEBHOOKS:
        try:
            return webhook.verify(body, headers)
        except Exception as error:  # the library's own, and what a header that is no base64 raises in it
            wrong = error
    # As Python writes it: anybody can send a header, and a folded one has lines.
    print(f"{headers.get('webhook-id')!r}: {wrong}", file=sys.stderr)
    return None


def post(path, headers, body):
    """The answer: its status, its body (text is a page), and more headers."""
    if path == "/handoff":
        try:
            hand_off(parse_qs(body.decode()).get("handoff", [""])[0])
        except (jwt.PyJWTError, ValueError) as error:
            print(f"hand-off: {error}", file=sys.stderr)
            return 403, "<p>This way in works once, and not for long. Please go back and open the app again.</p>"
        return 303, "", {"location": "/"}
    answers = {"/events": receive, "/provision": provision, "/decisions": decide}
    if path not in answers:
        return 404, {"reason": "not found"}
    message = verified(headers, body)
    if message is None:
        return 401, {"reason": "no signature of yours"}
    return answers[path](message)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self):
        pages = {"/": page, "/state": state}
        self.answer(*((200, pages[self.path]()) if self.path in pages else (404, {"reason": "not found"})))

    def do_POST(self):
        length = self.headers.get("content-length", "")
        # Fulfillment and browsers name the length; without one a body could go on for ever.
        if not length.isdecimal() or int(length) > BODY_LIMIT:
            self.close_connection = True
            return self.answer(413, {"reason": "too large"}, {"connection": "close"})
        body = self.rfile.read(int(length))
        try:
            answer = post(self.path, dict(self.headers), body)
        except Exception:
            traceback.print_exc()
            answer = 500, {"reason": "our fault: try again"}
        self.answer(*answer)

    def answer(self, status, body, headers=None):
        is_page = isinstance(body, str)
        content = (body if is_page else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8" if is_page else "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Nothing for each request: what happens is printed above."""


if __name__ == "__main__":
    with database() as db:
        db.executescript(TABLES)
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    print(f"receiver: http://127.0.0.1:{PORT}", flush=True)
    server.serve_forever()
