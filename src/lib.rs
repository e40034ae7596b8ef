//! The publisher's side of Microsoft's SaaS fulfillment API v2, as one Azure Functions custom handler.

pub mod app;
pub mod arrival;
pub mod bell;
pub mod clock;
pub mod dev;
pub mod duty;
pub mod entra;
pub mod error;
pub mod functions;
pub mod history;
pub mod host;
mod keys;
pub mod log;
pub mod marketplace;
pub mod mishap;
pub mod outbound;
pub mod pages;
pub mod person;
pub mod policy;
pub mod seal;
pub mod serve;
pub mod session;
pub mod settings;
pub mod store;
pub mod subscription;
pub mod web;
