//! Notices that the files of a bundle have changed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// A bundle counts as changed when nothing has changed for so long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// Folders whose files are not the author's.
const NOT_WATCHED: &[&str] = &["venv", ".venv", "__pycache__", ".git", "node_modules"];

/// The files that a plugin is made of, by their ends. A plugin may write others into its bundle,
/// databases and logs, without being started again.
const WATCHED: &[&str] =
    &["py", "json", "yml", "yaml", "toml", "ini", "txt", "html", "css", "js", "j2", "jinja2"];

/// What a fake interpreter writes.
const REPORT: &str = "report.json";

/// Watches bundles.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
    changes: mpsc::UnboundedReceiver<PathBuf>,
    /// Changed, and perhaps still changing.
    changed: BTreeSet<PathBuf>,
}

/// A bundle cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {source}", dir.display())]
pub struct WatchError {
    dir: PathBuf,
    source: notify::Error,
}

impl Watch {
    /// Watches these bundles from now on.
    ///
    /// # Errors
    /// [`WatchError`] names the bundle that cannot be watched.
    pub fn new(bundles: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self, WatchError> {
        let bundles: Vec<PathBuf> =
            bundles.into_iter().map(|bundle| bundle.as_ref().to_owned()).collect();
        let roots = bundles.clone();
        let (sender, changes) = mpsc::unbounded_channel();
        let handler = move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in &event.paths {
                let root = roots.iter().find(|root| is_part(root, path));
                // An error means that nobody listens any more.
                let _ = root.map(|root| sender.send(root.clone()));
            }
        };
        let first = bundles.first().cloned().unwrap_or_default();
        let mut watcher = notify::recommended_watcher(handler)
            .map_err(|source| WatchError { dir: first, source })?;
        for dir in bundles {
            watcher
                .watch(&dir, RecursiveMode::Recursive)
                .map_err(|source| WatchError { dir, source })?;
        }
        Ok(Self { _watcher: watcher, changes, changed: BTreeSet::new() })
    }

    /// Waits for a change and for its end, and gives the bundles that changed. `None` never comes
    /// while the watch lives. Dropped, it loses nothing: the next call goes on.
    pub async fn changed(&mut self) -> Option<BTreeSet<PathBuf>> {
        if self.changed.is_empty() {
            self.changed.insert(self.changes.recv().await?);
        }
        while let Ok(Some(bundle)) = tokio::time::timeout(QUIET, self.changes.recv()).await {
            self.changed.insert(bundle);
        }
        Some(std::mem::take(&mut self.changed))
    }
}

/// Whether the file at `path` is one that the plugin in `root` is made of.
fn is_part(root: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let mut folders = inside.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let end = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    WATCHED.contains(&end)
        && path.file_name() != Some(OsStr::new(REPORT))
        && !folders.any(|folder| NOT_WATCHED.contains(&folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn only_what_a_plugin_is_made_of_counts() {
        let root = Path::new("/bundle");
        for (file, counts) in [
            ("/bundle/plugin.py", true),
            ("/bundle/templates/a.html", true),
            ("/bundle/plugin.yaml", true),
            ("/bundle/report.json", false),
            ("/bundle/data.sqlite", false),
            ("/bundle/venv/lib/x.py", false),
            ("/bundle/pkg/__pycache__/x.py", false),
            ("/other/plugin.py", false),
        ] {
            assert_eq!(is_part(root, Path::new(file)), counts, "{file}");
        }
    }

    #[tokio::test]
    async fn a_change_names_its_bundle_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (a, b) = (root.join("a"), root.join("b"));
        for dir in [&a, &b] {
            fs::create_dir(dir).unwrap();
        }
        let mut watch = Watch::new([&a, &b]).unwrap();
        for text in ["1", "2", "3"] {
            fs::write(b.join("plugin.py"), text).unwrap();
        }
        fs::write(a.join("data.sqlite"), "x").unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
        assert_eq!(changed.unwrap(), Some(BTreeSet::from([b.clone()])));

        // A call that is dropped has heard of a change for the next one.
        fs::write(b.join("plugin.py"), "4").unwrap();
        let heard = async {
            while watch.changed.is_empty() {
                let _ = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
        assert_eq!(changed.unwrap(), Some(BTreeSet::from([b])));
    }

    #[test]
    fn a_bundle_that_is_not_there_is_named() {
        let error = Watch::new(["/no/such/bundle"]).unwrap_err();
        assert!(error.to_string().contains("/no/such/bundle"), "{error}");
    }
}
