//! What is written of the APIs, held against what they do: our own document against the running program, and Microsoft's
//! descriptions against the simulator and our client. `docs/conformance.md` says how to run it and what differs.

mod contradictions;
mod description;
mod life;
mod microsoft;
mod recorder;
mod strictness;
mod subscriptions;
