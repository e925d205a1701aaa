//! A plugin's health.

use std::time::Duration;

use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::client::Hooks;
use super::error::HealthError;
use super::limits::Gathering;
use super::sound::Sound;

/// The service name whose health counts.
const HEALTH_SERVICE: &str = "plugin";
/// How often one health check asks, back to back, before it says that the plugin is unhealthy.
const PINGS: usize = 3;

impl Hooks {
    /// One health check: up to three pings, each with the deadline `each`.
    pub(crate) async fn check_health(&self, each: Duration) -> Result<(), HealthError> {
        let mut last = HealthError::NotRunning;
        for _ in 0..PINGS {
            match tokio::time::timeout(each, ping(self.channel.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => last = error,
                // A plugin that hangs is not asked three times over.
                Err(_) => return Err(HealthError::Timeout { after: each }),
            }
        }
        Err(last)
    }
}

async fn ping(channel: Channel) -> Result<(), HealthError> {
    let request = HealthCheckRequest { service: HEALTH_SERVICE.to_owned() };
    let answer = HealthClient::new(Sound(channel, Gathering::small())).check(request).await;
    let answer = answer.map_err(|status| HealthError::Status { status: Box::new(status) })?;
    match answer.get_ref().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(HealthError::NotServing { status: other.as_str_name().to_owned() }),
    }
}
