//! The one test binary: it links once, and the list below is the index of what the program promises.

#![allow(clippy::unwrap_used, reason = "a story that cannot be told has failed")]

mod actions;
mod activate;
mod browser;
mod caller;
mod declarations;
mod discharge;
mod entra;
mod fulfillment;
mod host;
mod landing;
mod log;
mod marketplace;
mod notices;
mod notification;
mod package;
mod pages;
mod policy;
mod process;
mod queues;
mod reconcile;
mod record;
mod sentences;
mod serve;
mod session;
mod settings;
mod signin;
mod simulator;
mod smoke;
mod subscription;
mod subscriptions;
mod tidy;
mod visitor;
mod walkthrough;
mod webhook;
mod wire;
mod workflows;
mod world;
