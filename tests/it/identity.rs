//! Who the program is towards Entra and Azure: four credentials, the managed identity, Key Vault, and what happens when a
//! secret is changed, refused, about to expire, or cannot be had. Azure's own clients talk to servers on this machine.

mod azure;
mod certificate;
mod cookies;
mod credentials;
mod expiry;
mod handoff;
mod keyvault;
mod managed;
mod rotation;
