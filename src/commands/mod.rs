//! What `main` can start, one module a command, and the command line itself.

pub mod cli;

mod numbers;

pub mod acls;
pub mod backtest;
pub mod check;
pub mod dead_letters;
pub mod demo;
pub mod erase;
pub mod explain;
pub mod fit;
pub mod healthcheck;
pub(crate) mod history_files;
pub mod instance;
pub mod intake;
pub mod manual;
pub mod maps;
pub(crate) mod progress;
pub mod registry;
pub mod replay;
pub mod report;
pub mod rules;
pub mod run;
pub mod service;
pub(crate) mod shop_history;
pub mod topics;
