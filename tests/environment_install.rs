//! Several plugins under one roof: plugins that come as an archive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod environment_common;

use std::io::Write as _;
use std::path::PathBuf;

use common::{alive, fake_python, soon};
use environment_common::{Apis, World, calm, id, is_empty, script};
use flate2::Compression;
use flate2::write::GzEncoder;
use plugin_conformance::environment::{Environment, EnvironmentError};
use plugin_conformance::environment::{UnpackError, UnpackLimits};
use plugin_proto::v1;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An archive in the making.
struct Pack(Builder<GzEncoder<Vec<u8>>>);

impl Pack {
    fn new() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// A whole bundle below `prefix` (empty, or `folder/`).
    fn bundle(prefix: &str, name: &str, version: &str, script: &str) -> Self {
        let manifest = format!(
            r#"{{"id": "{}", "version": "{version}", "server": {{"runtime": "python", "executable": "plugin.py"}}}}"#,
            id(name)
        );
        let python = format!("#!/bin/sh\nexec '{}' \"$@\"\n", fake_python().display());
        Self::new()
            .file(&format!("{prefix}plugin.json"), 0o644, manifest.as_bytes())
            .file(&format!("{prefix}plugin.py"), 0o644, script.as_bytes())
            .file(&format!("{prefix}venv/bin/python"), 0o755, python.as_bytes())
    }

    fn file(self, path: &str, mode: u32, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", mode, data)
    }

    fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        self.entry(kind, path, target, 0o777, &[])
    }

    /// An entry with whatever path, which the library would not let through.
    fn entry(mut self, kind: EntryType, path: &str, target: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn done(self) -> bytes::Bytes {
        self.0.into_inner().unwrap().finish().unwrap().into()
    }
}

/// An environment that installs into a folder of its own.
fn installing(limits: UnpackLimits) -> (Environment, TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap().join("plugins");
    let builder = calm(&Apis::default()).plugins_dir(&folder).unpack_limits(limits);
    (builder.build().unwrap(), dir, folder)
}

fn good() -> String {
    script("OnActivate, OnDeactivate", "")
}

#[tokio::test]
async fn an_archive_is_installed_run_replaced_and_removed() {
    for prefix in ["", "./", "com.example.folder/"] {
        let (plugins, _dir, folder) = installing(UnpackLimits::default());
        let archive = |version| Pack::bundle(prefix, "one", version, &good()).done();
        let info = plugins.install(archive("1.0.0"), false).await.unwrap();
        assert_eq!((info.id(), &info.bundle), (&*id("one"), &folder.join(id("one"))));
        // Not started by itself.
        assert!(!plugins.is_active(&id("one")));
        assert!(soon(plugins.activate(&id("one"))).await.unwrap());
        let first = plugins.supervisor(&id("one")).unwrap().pid();

        let error = plugins.install(archive("2.0.0"), false).await.unwrap_err();
        assert!(matches!(error, EnvironmentError::AlreadyInstalled { .. }), "{error}");
        assert_eq!(plugins.supervisor(&id("one")).unwrap().pid(), first);

        // It ran, so it runs.
        let info = soon(plugins.install(archive("2.0.0"), true)).await.unwrap();
        assert_eq!(info.manifest.version, "2.0.0");
        assert!(!alive(first) && plugins.is_active(&id("one")));
        assert_eq!(plugins.status(&id("one")).unwrap().version, "2.0.0");
        assert_eq!(plugins.ids(), [id("one")]);
        // It did not run, so it does not.
        soon(plugins.deactivate(&id("one"))).await;
        soon(plugins.install(archive("3.0.0"), true)).await.unwrap();
        assert!(!plugins.is_active(&id("one")));
        let manifest = std::fs::read_to_string(folder.join(id("one")).join("plugin.json")).unwrap();
        assert!(manifest.contains("3.0.0"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "something is left beside it");

        soon(plugins.activate(&id("one"))).await.unwrap();
        let pid = plugins.supervisor(&id("one")).unwrap().pid();
        soon(plugins.remove(&id("one"))).await.unwrap();
        assert!(!alive(pid) && plugins.ids().is_empty());
        assert!(is_empty(&folder));
        soon(plugins.shutdown()).await;
    }
}

/// A replaced plugin keeps its place, and a user's own folder stays.
#[tokio::test]
async fn an_archive_replaces_a_folder_of_the_users_without_touching_it() {
    let world = World::new(&[("a", &good()), ("b", &good())]).await;
    let archive = Pack::bundle("", "a", "9.9.9", &good()).done();
    let request = v1::InstallPluginRequest { file_data: archive, replace: true };
    let answer = soon(world.apis.of("b").install_plugin(request.clone())).await.unwrap();
    assert_eq!(answer.manifest.unwrap().version, "9.9.9");
    assert_eq!(world.plugins.ids(), [id("a"), id("b")]);
    assert!(world.plugins.is_active(&id("a")));
    let bundle = world.plugins.info(&id("a")).unwrap().bundle;
    assert_ne!(bundle, world.bundles.path("a"));
    assert!(world.bundles.path("a/plugin.py").exists());

    // Itself: answered at once, done afterwards.
    let first = world.plugins.supervisor(&id("a")).unwrap().pid();
    let answer = soon(world.apis.of("a").install_plugin(request.clone())).await.unwrap();
    assert_eq!(answer.manifest.unwrap().id, id("a"));
    common::until("it runs again", || {
        world.plugins.supervisor(&id("a")).is_some_and(|life| life.pid() != first)
    })
    .await;

    let error = world
        .apis
        .of("b")
        .install_plugin(v1::InstallPluginRequest { replace: false, ..request })
        .await
        .unwrap_err();
    assert_eq!((error.id.as_str(), error.status_code), ("app.plugin.install_id.app_error", 400));
    let request = v1::InstallPluginRequest { file_data: "garbage".into(), replace: false };
    let error = world.apis.of("b").install_plugin(request).await.unwrap_err();
    assert_eq!((error.id.as_str(), error.status_code), ("app.plugin.extract.app_error", 400));
    soon(world.plugins.remove(&id("a"))).await.unwrap();
    assert!(!bundle.exists());
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn what_could_do_harm_is_refused_and_nothing_is_left() {
    use EntryType::{Block, Char, Fifo, Link, Symlink};
    let limits = UnpackLimits { bytes: 1 << 20, entries: 50 };
    let (plugins, dir, folder) = installing(limits);
    let bait = dir.path().join("bait");
    std::fs::write(&bait, "bait").unwrap();
    let bundle = || Pack::bundle("", "bad", "1.0.0", &good());
    let in_folder = || Pack::bundle("folder/", "bad", "1.0.0", &good());
    let many = (0..50).fold(bundle(), |pack, at| pack.file(&format!("file{at}"), 0o644, &[]));
    let bait = bait.to_str().unwrap();
    type Is = fn(&UnpackError) -> bool;
    let outside: Is = |error| matches!(error, UnpackError::Outside { .. });
    let link: Is = |error| matches!(error, UnpackError::Link { .. });
    let kind: Is = |error| matches!(error, UnpackError::Kind { .. });
    let twice: Is = |error| matches!(error, UnpackError::Write { .. });
    let cases: Vec<(&str, Pack, Is)> = vec![
        ("absolute", bundle().file("/tmp/evil", 0o644, b"x"), outside),
        ("upwards", bundle().file("../evil", 0o644, b"x"), outside),
        ("upwards inside", bundle().file("a/../../evil", 0o644, b"x"), outside),
        ("absolute link", bundle().link(Symlink, "evil", bait), link),
        ("link upwards", bundle().link(Symlink, "evil", "../../../bait"), link),
        ("link nowhere", bundle().link(Symlink, "evil", "nothing"), link),
        ("link out of the folder", in_folder().link(Symlink, "folder/evil", ".."), link),
        ("hard link", bundle().link(Link, "evil", "../../../bait"), link),
        ("absolute hard link", bundle().link(Link, "evil", bait), link),
        (
            "link that a link leads out",
            bundle().file("a/b/file", 0o644, b"x").link(Symlink, "a/b/root", "../..").link(
                Symlink,
                "evil",
                "a/b/root/../..",
            ),
            link,
        ),
        (
            "through a link",
            bundle().link(Symlink, "out", "../../..").file("out/evil", 0o644, b"x"),
            twice,
        ),
        ("twice", bundle().file("plugin.py", 0o644, b"x"), twice),
        ("pipe", bundle().link(Fifo, "pipe", ""), kind),
        ("device", bundle().link(Char, "null", ""), kind),
        ("disk", bundle().link(Block, "disk", ""), kind),
        ("bomb", bundle().file("zeros", 0o644, &vec![0; 2 << 20]), |error| {
            matches!(error, UnpackError::TooLarge { limit: 1_048_576 })
        }),
        ("many", many, |error| matches!(error, UnpackError::TooManyEntries { limit: 50 })),
        ("no manifest", Pack::new().file("readme", 0o644, b"x"), |error| {
            matches!(error, UnpackError::NoBundle)
        }),
        ("two folders", in_folder().file("other/file", 0o644, b"x"), |error| {
            matches!(error, UnpackError::NoBundle)
        }),
    ];
    for (name, pack, is) in cases {
        let error = soon(plugins.install(pack.done(), false)).await.unwrap_err();
        assert!(
            matches!(&error, EnvironmentError::Unpack(error) if is(error)),
            "{name}: {error:?}"
        );
        assert!(is_empty(&folder), "{name}: something is left");
    }
    assert!(!dir.path().join("evil").exists());
    assert!(plugins.ids().is_empty());
}

#[tokio::test]
async fn what_is_no_archive_or_no_plugin_is_refused() {
    let (plugins, _dir, folder) = installing(UnpackLimits::default());
    let whole = Pack::bundle("", "one", "1.0.0", &good()).done();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[7; 2000]).unwrap();
    let no_tar = gzip.finish().unwrap().into();
    let cut_off = whole.slice(..whole.len() / 2);
    for archive in ["".into(), "garbage".into(), no_tar, cut_off] {
        let error = plugins.install(archive, false).await.unwrap_err();
        assert!(
            matches!(
                &error,
                EnvironmentError::Unpack(UnpackError::NoArchive(_) | UnpackError::NoBundle)
            ),
            "{error:?}"
        );
    }
    let bad = Pack::new().file("plugin.json", 0o644, br#"{"id": "x"}"#).done();
    let error = plugins.install(bad, false).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::Manifest(_)), "{error}");
    assert!(is_empty(&folder));
}

#[tokio::test]
async fn links_inside_the_bundle_and_modes_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let (plugins, _dir, folder) = installing(UnpackLimits::default());
    let archive = Pack::bundle("folder/", "one", "1.0.0", &good())
        .file("folder/tool", 0o4775, b"tool")
        .link(EntryType::Symlink, "folder/venv/bin/python3", "python")
        .link(EntryType::Link, "folder/hard", "folder/tool");
    plugins.install(archive.done(), false).await.unwrap();
    let bundle = folder.join(id("one"));
    assert_eq!(
        std::fs::read_link(bundle.join("venv/bin/python3")).unwrap().to_str(),
        Some("python")
    );
    assert_eq!(std::fs::read(bundle.join("hard")).unwrap(), b"tool");
    let mode = std::fs::metadata(bundle.join("tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// A folder that the environment did not make is neither overwritten nor deleted.
#[tokio::test]
async fn a_folder_of_somebody_elses_is_left_alone() {
    let (plugins, _dir, folder) = installing(UnpackLimits::default());
    let theirs = folder.join(id("one"));
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("file"), "theirs").unwrap();
    let archive = Pack::bundle("", "one", "1.0.0", &good()).done();
    for replace in [false, true] {
        let error = plugins.install(archive.clone(), replace).await.unwrap_err();
        assert!(matches!(error, EnvironmentError::FolderTaken { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(theirs.join("file")).unwrap(), "theirs");
}

#[tokio::test]
async fn the_default_folder_ends_with_the_environment() {
    let plugins = calm(&Apis::default()).build().unwrap();
    let archive = Pack::bundle("", "one", "1.0.0", &good()).done();
    let info = plugins.install(archive, false).await.unwrap();
    assert!(info.bundle.exists());
    drop(plugins);
    common::until("the folder is gone", || !info.bundle.exists()).await;
}

/// Refused, and nothing of it is left anywhere.
async fn is_refused(pack: Pack, is: fn(&UnpackError) -> bool) {
    let (plugins, dir, folder) = installing(UnpackLimits { entries: 2000, ..Default::default() });
    let error = soon(plugins.install(pack.done(), false)).await.unwrap_err();
    assert!(matches!(&error, EnvironmentError::Unpack(error) if is(error)), "{error:?}");
    assert!(is_empty(&folder));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something is beside it");
}

#[tokio::test]
async fn nothing_is_made_through_a_link_of_an_archive() {
    use EntryType::{Directory, Link, Symlink};
    let bundle = || Pack::bundle("", "bad", "1.0.0", &good());
    let out = || bundle().link(Symlink, "x", "../..");
    for pack in [
        out().link(Symlink, "x/.config/evil", "y"),
        out().link(Directory, "x/made", ""),
        out().file("x/evil", 0o644, b"x"),
        bundle().file("x/file", 0o644, b"x").link(Symlink, "x", "../.."),
        bundle().link(Directory, "x", "").link(Symlink, "x", "../.."),
    ] {
        is_refused(pack, |error| matches!(error, UnpackError::Write { .. })).await;
    }
    let circle = bundle().link(Symlink, "a", "b").link(Symlink, "b", "a");
    let long = (0..40)
        .fold(bundle(), |pack, at| pack.link(Symlink, &format!("l{at}"), &format!("l{}", at + 1)));
    for pack in [
        out(),
        circle,
        long.file("l40", 0o644, b"x"),
        bundle().link(Link, "h", "h"),
        bundle().link(Symlink, "s", "venv").link(Link, "h", "s/bin/python"),
        bundle().link(Symlink, "s", "plugin.py/../plugin.json"),
        // By the name that the folder has only in the archive: a sibling's file afterwards.
        Pack::bundle("other/", "bad", "1.0.0", &good()).link(
            Symlink,
            "other/s",
            "../other/plugin.py",
        ),
    ] {
        is_refused(pack, |error| matches!(error, UnpackError::Link { .. })).await;
    }
}

#[tokio::test]
async fn what_an_archive_says_and_implies_is_bounded() {
    let bundle = || Pack::bundle("", "bad", "1.0.0", &good());
    let zeros = vec![b'x'; 1 << 20];
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let pack = bundle().entry(kind, "long", "", 0o644, &zeros);
        is_refused(pack, |error| matches!(error, UnpackError::Extension { .. })).await;
    }
    let named = |name: &[u8]| {
        bundle().entry(EntryType::GNULongName, "long", "", 0o644, name).file("f", 0o644, b"")
    };
    for name in ["a/".repeat(65), "a".repeat(2000), "a".repeat(256), "a\0b".to_owned()] {
        let is = |error: &UnpackError| matches!(error, UnpackError::Path { .. });
        is_refused(named(name.as_bytes()), is).await;
    }
    let deep = (0..60)
        .fold(bundle(), |pack, at| pack.file(&format!("{at}/{}f", "a/".repeat(40)), 0o644, b""));
    is_refused(deep, |error| matches!(error, UnpackError::TooManyEntries { limit: 2000 })).await;
    let size = bundle().entry(EntryType::XHeader, "pax", "", 0o644, b"18 size=999999999\n");
    is_refused(size.file("f", 0o644, b"x"), |it| matches!(it, UnpackError::NoArchive(_))).await;
}

#[tokio::test]
async fn a_shutdown_cancels_an_unpacking() {
    let limits = UnpackLimits { bytes: u64::MAX, ..UnpackLimits::default() };
    let (plugins, _dir, folder) = installing(limits);
    // A folder with content, which is read and not written: a TiB.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_path("endless").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let member = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let mut archive = member(header.as_bytes());
    archive.extend(member(&vec![0; 1 << 24]).repeat(200));
    let installing = tokio::spawn({
        let plugins = plugins.clone();
        async move { plugins.install(archive.into(), false).await }
    });
    common::until("it is being unpacked", || !is_empty(&folder)).await;
    soon(plugins.shutdown()).await;
    let error = soon(installing).await.unwrap().unwrap_err();
    assert!(matches!(error, EnvironmentError::ShuttingDown), "{error}");
    assert!(is_empty(&folder));
}
