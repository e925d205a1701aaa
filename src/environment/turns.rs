//! What is done to a plugin of the registry: one such call at a time for each plugin.
//!
//! Only what threads share is here, without files and processes, so that `tests/shuttle` can run it
//! in every order.

use super::EnvironmentError;
use super::entry::Entry;
use super::registry::Registry;
use crate::sync::{Arc, OwnedMutexGuard};

impl Registry {
    /// The plugin, when it is the caller's turn to start, stop or remove it.
    pub(super) async fn turn(
        &self,
        plugin_id: &str,
    ) -> Result<(Arc<Entry>, OwnedMutexGuard<()>), EnvironmentError> {
        loop {
            let entry = self.find(plugin_id)?;
            let turn = Arc::clone(&entry.turn).lock_owned().await;
            // Meanwhile it may have been removed, or another may be in its place.
            if self.holds(&entry) {
                return Ok((entry, turn));
            }
        }
    }

    pub(super) async fn activate(&self, plugin_id: &str) -> Result<bool, EnvironmentError> {
        let (entry, _turn) = self.turn(plugin_id).await?;
        self.start(&entry).await
    }

    /// Starts a plugin whose turn the caller has.
    pub(super) async fn start(&self, entry: &Entry) -> Result<bool, EnvironmentError> {
        if self.is_closed() {
            return Err(EnvironmentError::ShuttingDown);
        }
        match entry.keeper.activate().await {
            Ok(started) => Ok(started),
            // The shutdown began in the middle of it.
            Err(_) if self.is_closed() => Err(EnvironmentError::ShuttingDown),
            Err(error) => Err(Box::new(error).into()),
        }
    }

    pub(super) async fn deactivate(&self, plugin_id: &str) -> Result<bool, EnvironmentError> {
        let (entry, _turn) = self.turn(plugin_id).await?;
        Ok(entry.keeper.deactivate().await)
    }

    pub(super) async fn restart(&self, plugin_id: &str) -> Result<(), EnvironmentError> {
        let (entry, _turn) = self.turn(plugin_id).await?;
        entry.keeper.deactivate().await;
        self.start(&entry).await.map(|_| ())
    }

    /// Stops a plugin for good and takes it off the list. The turn is still the caller's, who may
    /// have a folder to delete.
    pub(super) async fn forget(
        &self,
        plugin_id: &str,
    ) -> Result<(Arc<Entry>, OwnedMutexGuard<()>), EnvironmentError> {
        let (entry, turn) = self.turn(plugin_id).await?;
        entry.keeper.shut_down().await;
        self.remove(&entry);
        Ok((entry, turn))
    }

    /// Adds no plugin any more and stops all at once. It waits for nobody's turn: a launch under way
    /// is cut off.
    pub(super) async fn shut_down(&self) {
        let entries = self.close();
        futures::future::join_all(entries.iter().map(|entry| entry.keeper.shut_down())).await;
    }

    /// The same, but kills them: also what is being launched or stopped.
    pub(super) async fn kill(&self) {
        let entries = self.close();
        let killed = entries.iter().map(|entry| entry.keeper.kill_for_good());
        futures::future::join_all(killed).await;
    }
}
