//! Hooks whose answers are put together, and the one where a single refusal counts.

use futures::future::join_all;
use plugin_proto::v1;

use super::{Dispatcher, Listener, Refused};
use crate::hooks::HookError;

/// The hooks with a method here.
#[cfg(test)]
pub(super) const METHODS: &[&str] = &["RunDataRetention", "GenerateSupportData"];

/// What came of `RunDataRetention`.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// How many rows all plugins deleted.
    pub deleted_count: i64,
    /// Those that failed; what they deleted does not count.
    pub failures: Vec<Refused>,
}

/// What came of `GenerateSupportData`.
#[derive(Debug, Clone, Default)]
pub struct SupportData {
    /// The files, each with the id of its plugin, in the plugins' order.
    pub files: Vec<(String, v1::FileData)>,
    /// Those that failed and gave none.
    pub failures: Vec<Refused>,
}

/// An answer, and the failure beside it.
fn sorted<T>(
    answers: Vec<(String, Result<T, HookError>)>,
    failures: &mut Vec<Refused>,
) -> Vec<(String, T)> {
    let good = answers.into_iter().filter_map(|(plugin_id, answer)| match answer {
        Ok(answer) => Some((plugin_id, answer)),
        Err(error) => {
            failures.push(Refused { plugin_id, error });
            None
        }
    });
    good.collect()
}

impl Dispatcher {
    /// `RunDataRetention` of every plugin that implements it, at the same time.
    pub async fn run_data_retention(&self, request: v1::RunDataRetentionRequest) -> Retention {
        let ask = |Listener { info, plugin }: Listener| {
            let request = request.clone();
            async move { (info.manifest.id, plugin.hooks().run_data_retention(request).await.decision) }
        };
        let listeners = self.implementing("RunDataRetention");
        let answers = join_all(listeners.into_iter().map(ask)).await;
        let mut retention = Retention::default();
        for (_, count) in sorted(answers, &mut retention.failures) {
            retention.deleted_count = retention.deleted_count.saturating_add(count);
        }
        retention
    }

    /// `GenerateSupportData` of every plugin that implements it, at the same time.
    pub async fn generate_support_data(
        &self,
        request: v1::GenerateSupportDataRequest,
    ) -> SupportData {
        let ask = |Listener { info, plugin }: Listener| {
            let request = request.clone();
            async move {
                (info.manifest.id, plugin.hooks().generate_support_data(request).await.decision)
            }
        };
        let listeners = self.implementing("GenerateSupportData");
        let answers = join_all(listeners.into_iter().map(ask)).await;
        let mut data = SupportData::default();
        for (plugin_id, files) in sorted(answers, &mut data.failures) {
            data.files.extend(files.into_iter().map(|file| (plugin_id.clone(), file)));
        }
        data
    }
}
