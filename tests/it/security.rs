//! What an attacker would try, where no other story tries it: answers, addresses and headers, the shape of messages, packed
//! answers, the log, and the source itself. `docs/security.md` names these and all the others.

mod answers;
mod door;
mod log;
mod packed;
mod page;
mod source;
