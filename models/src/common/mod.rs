//! What every system shares: data sets, samplers, metrics, configuration and training runs.

pub mod config;
pub mod data;
pub mod device;
pub mod embedding;
pub mod metrics;
pub mod run;
pub mod sampling;
