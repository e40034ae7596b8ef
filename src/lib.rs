//! The publisher's side of Microsoft's SaaS fulfillment API v2.

pub mod clock;
pub mod duty;
pub mod error;
pub mod settings;
pub mod subscription;
pub mod web;
