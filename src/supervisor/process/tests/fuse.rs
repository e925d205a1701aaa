//! A file system that does not answer, like one on a server that has gone.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mounted file system. While it is there, whoever asks it for more than it gives waits.
pub(super) struct Fuse {
    place: PathBuf,
    device: File,
}

/// An address in a request, and the two numbers of the folder and of its only file.
const BODY: usize = 40;
const FOLDER: u64 = 1;
const FILE: u64 = 2;

impl Fuse {
    /// One that answers nothing at all.
    pub(super) fn silent(place: &Path) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let options = std::ffi::CString::new(options)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        mount("fuse", place, "fuse", flags, options.as_c_str())?;
        Ok(Self { place: place.to_owned(), device })
    }

    /// One in which every name is this file, whose content is to be had up to `limit`.
    pub(super) fn of(place: &Path, content: File, limit: u64) -> io::Result<Self> {
        let fuse = Self::silent(place)?;
        let mut device = fuse.device.try_clone()?;
        std::thread::spawn(move || {
            let mut request = vec![0; 1 << 20];
            while let Ok(length) = device.read(&mut request) {
                if let Some(answer) = answer(&request[..length], &content, limit) {
                    let _ = device.write_all(&answer);
                }
            }
        });
        Ok(fuse)
    }
}

/// Whoever waits gets an error.
impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = unmount(&self.place, UnmountFlags::FORCE);
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn answer(request: &[u8], content: &File, limit: u64) -> Option<Vec<u8>> {
    const NO_SUCH_CALL: i32 = -38;
    let operation = u32::from_ne_bytes(request[4..8].try_into().unwrap());
    let node = number(request, 16);
    let mut error = 0;
    let mut body = Vec::new();
    match operation {
        // FORGET, INTERRUPT, BATCH_FORGET want no answer, and WRITE gets none.
        2 | 16 | 36 | 42 => return None,
        // LOOKUP.
        1 => {
            for word in [FILE, 0, 3600, 3600, 0] {
                body.extend(word.to_ne_bytes());
            }
            body.extend(attributes(FILE, content));
        }
        // GETATTR.
        3 => {
            for word in [3600_u64, 0] {
                body.extend(word.to_ne_bytes());
            }
            body.extend(attributes(node, content));
        }
        // OPEN.
        14 => body.extend([0; 16]),
        // READ.
        15 => {
            let (offset, size) = (number(request, BODY + 8), number(request, BODY + 16));
            if offset >= limit {
                return None;
            }
            body.resize(usize::try_from(size & 0xffff_ffff).unwrap(), 0);
            let length = content.read_at(&mut body, offset).unwrap();
            body.truncate(length);
        }
        // FLUSH and RELEASE.
        18 | 25 => {}
        // INIT: the version, and no wish.
        26 => {
            for word in [7_u32, 31, 0, 0, 0, 1 << 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0] {
                body.extend(word.to_ne_bytes());
            }
        }
        _ => error = NO_SUCH_CALL,
    }
    let length = u32::try_from(16 + body.len()).unwrap();
    let mut answer = length.to_ne_bytes().to_vec();
    answer.extend(error.to_ne_bytes());
    answer.extend(&request[8..16]);
    answer.extend(body);
    Some(answer)
}

fn attributes(node: u64, content: &File) -> Vec<u8> {
    let (mode, size) = match node {
        FOLDER => (0o040_755_u32, 0),
        _ => (0o100_755, content.metadata().unwrap().len()),
    };
    let mut bytes = Vec::new();
    for word in [node, size, size.div_ceil(512), 0, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}
