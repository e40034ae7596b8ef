//! What is written of the APIs, held against what they do. `docs/conformance.md` says how to run it.

mod subscriptions;
