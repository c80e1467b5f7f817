//! Bronze: the raw bytes of every source file, under their hash.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{LakeError, file_error};

/// SHA-256 of a file's bytes, as hexadecimal digits.
pub(super) fn hash_file(path: &Path) -> Result<String, LakeError> {
    let mut file = File::open(path).map_err(|e| file_error(path, &e))?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(|e| file_error(path, &e))?;
        let Some(chunk) = buffer.get(..n).filter(|c| !c.is_empty()) else { break };
        context.update(chunk);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(proto::Hash(out).to_string())
}

/// Whether a file is still what was hashed. A file that is not copied is read where it lies, and might change meanwhile.
pub(super) fn unchanged(path: &Path, hash: &str) -> Result<(), LakeError> {
    if hash_file(path)? == hash {
        return Ok(());
    }
    Err(file_error(path, &"it changed while it was read; run site-agent ingest again when it is whole"))
}

/// Where the copy of a file lies.
pub(super) fn path(root: &Path, file: &Path, hash: &str) -> PathBuf {
    let suffix = if file.extension().is_some_and(|e| e == "gz") { ".gz" } else { "" };
    root.join("bronze").join(format!("{hash}{suffix}"))
}

/// Removes the copy of a file that lies in its source's folder.
pub(super) fn remove(root: &Path, file: &Path, hash: &str) -> Result<(), LakeError> {
    let kept = path(root, file, hash);
    match std::fs::remove_file(&kept) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file_error(&kept, &e)),
        _ => Ok(()),
    }
}

/// Copies a file into bronze, unless it is there. A file of the agent's `own`, which never changes again, is linked: it takes its
/// room once.
pub(super) fn keep(root: &Path, path: &Path, hash: &str, own: bool) -> Result<PathBuf, LakeError> {
    let kept = self::path(root, path, hash);
    if kept.exists() {
        return Ok(kept);
    }
    let temporary = root.join("bronze").join(format!(".{hash}.tmp"));
    let wrong = |e: std::io::Error| file_error(&kept, &e);
    // Where that fails, as between two disks, it is copied.
    if own && std::fs::hard_link(path, &kept).is_ok() {
        platform::files::sync_folder(&root.join("bronze")).map_err(wrong)?;
        return Ok(kept);
    }
    let mut from = File::open(path).map_err(|e| file_error(path, &e))?;
    let mut to = File::create(&temporary).map_err(wrong)?;
    std::io::copy(&mut from, &mut to).map_err(wrong)?;
    to.flush().map_err(wrong)?;
    to.sync_all().map_err(wrong)?;
    std::fs::rename(&temporary, &kept).map_err(wrong)?;
    platform::files::sync_folder(&root.join("bronze")).map_err(wrong)?;
    Ok(kept)
}
