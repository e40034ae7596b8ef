"""What a schema cannot say of a good request: a time that is ahead, an event or a duty of this very subscription.

tests/it/conformance/subscriptions.rs says what is in known.json.
"""

import datetime
import itertools
import json
import pathlib

import schemathesis
from schemathesis import GenerationMode

DECISION = "PUT /subscriptions/{id}/entitlement"
KNOWN = {
    operation: itertools.cycle(paths)
    for operation, paths in json.loads(pathlib.Path("known.json").read_text()).items()
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    operation = case.operation.label
    if operation == DECISION and isinstance(case.body, dict):
        week = datetime.timedelta(days=7)
        case.body["until"] = (datetime.datetime.now(datetime.timezone.utc) + week).isoformat()
    # A link has already put there what an answer named.
    if operation in KNOWN and case.meta.phase.name != "stateful":
        case.path_parameters.update(next(KNOWN[operation]))
