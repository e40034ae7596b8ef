"""Whether the reference libraries of Standard Webhooks and CloudEvents for Python accept what we send.

tests/it/reference.rs says what goes in and what comes out.
"""

import datetime
import json
import sys

import standardwebhooks.webhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event


class Then(datetime.datetime):
    """The library has no other way to be told the time."""

    at = 0

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(cls.at, tz)


standardwebhooks.webhooks.datetime = Then


def check(at, headers, body, secret):
    Then.at = at
    standardwebhooks.webhooks.Webhook(secret).verify(body, headers)
    event = from_http_event(HTTPMessage(headers, body.encode()))
    # The library makes up what is missing.
    sent = json.loads(body)
    read = {**event.get_attributes(), "time": sent.get("time"), "data": event.get_data()}
    if read != sent:
        raise ValueError(f"{read} was read of {sent}")
    if event.get_id() != headers["webhook-id"]:
        raise ValueError("webhook-id is not the event's id")


for line in sys.stdin:
    verdict = {"accepted": True}
    try:
        check(**json.loads(line))
    except Exception as error:
        verdict = {"accepted": False, "why": f"{type(error).__name__}: {error}"}
    print(json.dumps(verdict))
