//! The files that one host needs, in a folder of their own that is copied there.

use super::files::{AUTHORITIES, FOLDER, certificate_file, key_file, read_private_text, read_text};
use super::writing::{Lock, NewFile, make_folder};
use super::{KeysError, ServerKeys, folder_of};
use crate::config::HerdFile;
use rustls::pki_types::UnixTime;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the files that the host of the server `name` needs into the folder `out`: the herd file under its own
/// name, and the keys of this server at the same place beside it as here. The private key of the authority is never
/// one of them. Returns the paths within `out`.
///
/// Errors: those of [`ServerKeys::load`]; a folder that exists and is not empty; a file that cannot be written.
pub fn bundle(
    herd: &HerdFile,
    herd_file: Option<&Path>,
    name: &str,
    out: &Path,
    now: UnixTime,
) -> Result<Vec<PathBuf>, KeysError> {
    let folder = folder_of(herd);
    ServerKeys::load_at(&folder, name, now)?;
    make_folder(out).map_err(|error| KeysError::new(out, format!("cannot be made: {error}")))?;
    let mut entries =
        fs::read_dir(out).map_err(|error| KeysError::new(out, format!("cannot be read: {error}")))?;
    if entries.next().is_some() {
        return Err(KeysError::new(out, "is not empty; name a new folder"));
    }
    let inside = Path::new(FOLDER);
    let mut files = vec![
        (inside.join(AUTHORITIES), read_text(&folder.join(AUTHORITIES))?),
        (certificate_file(inside, name), read_text(&certificate_file(&folder, name))?),
    ];
    if let Some(file) = herd_file
        && let Some(own_name) = file.file_name()
    {
        files.push((own_name.into(), read_text(file)?));
    }
    let key = key_file(inside, name);
    let mut new = vec![NewFile::private(out.join(&key), read_private_text(&key_file(&folder, name))?)];
    new.extend(files.iter().map(|(path, text)| NewFile::public(out.join(path), text.clone())));
    Lock::take(&out.join(FOLDER))?.put(&new)?;
    let mut paths: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).chain([key]).collect();
    paths.sort();
    Ok(paths)
}
