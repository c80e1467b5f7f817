//! Bronze: the raw bytes of every source file, under their hash.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{LakeError, file_error};

/// Hands a file's bytes on, and gives their SHA-256 as hexadecimal digits.
fn pass(path: &Path, mut on: impl FnMut(&[u8]) -> Result<(), LakeError>) -> Result<String, LakeError> {
    let mut file = File::open(path).map_err(|e| file_error(path, &e))?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(|e| file_error(path, &e))?;
        let Some(chunk) = buffer.get(..n).filter(|c| !c.is_empty()) else { break };
        context.update(chunk);
        on(chunk)?;
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(proto::Hash(out).to_string())
}

/// SHA-256 of a file's bytes, as hexadecimal digits.
pub(super) fn hash_file(path: &Path) -> Result<String, LakeError> {
    pass(path, |_| Ok(()))
}

fn changed(path: &Path) -> LakeError {
    file_error(path, &"it changed while it was read; run site-agent ingest again when it is whole")
}

/// Whether a file is still what was hashed. A file that is not copied is read where it lies, and might change meanwhile.
pub(super) fn unchanged(path: &Path, hash: &str) -> Result<(), LakeError> {
    if hash_file(path)? == hash { Ok(()) } else { Err(changed(path)) }
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
    let mut to = File::create(&temporary).map_err(wrong)?;
    // The file may have been written to since it was hashed: what lies under a hash is what was hashed.
    if pass(path, |chunk| to.write_all(chunk).map_err(wrong))? != hash {
        drop(to);
        std::fs::remove_file(&temporary).map_err(wrong)?;
        return Err(changed(path));
    }
    to.sync_all().map_err(wrong)?;
    std::fs::rename(&temporary, &kept).map_err(wrong)?;
    platform::files::sync_folder(&root.join("bronze")).map_err(wrong)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_to_after_it_was_hashed_is_not_kept_under_that_hash() {
        let lake = tempfile::tempdir().unwrap();
        std::fs::create_dir(lake.path().join("bronze")).unwrap();
        let file = lake.path().join("a.csv");
        std::fs::write(&file, "one").unwrap();
        let hash = hash_file(&file).unwrap();
        std::fs::write(&file, "two").unwrap();
        assert!(
            keep(lake.path(), &file, &hash, false).unwrap_err().to_string().contains("it changed while it was read")
        );
        assert_eq!(std::fs::read_dir(lake.path().join("bronze")).unwrap().count(), 0);
        std::fs::write(&file, "one").unwrap();
        assert_eq!(std::fs::read(keep(lake.path(), &file, &hash, false).unwrap()).unwrap(), b"one");
    }
}
