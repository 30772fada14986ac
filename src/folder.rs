//! Makes new names in a folder durable.

use std::io;
use std::path::Path;

/// Syncs the folder of the file at `path`, so that after a power failure the file is found under
/// the name that it was created with or renamed to.
///
/// # Errors
///
/// Errors of the disk. Folders that the system cannot open or sync are left as they are: the file
/// itself is written.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened as files.
    #[cfg(unix)]
    {
        use std::io::ErrorKind;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let synced = std::fs::File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all());
        match synced {
            Err(error)
                if matches!(
                    error.kind(),
                    // A folder without permission to read it may still take files, and some file
                    // systems sync no folders.
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn any_folder_can_be_synced() {
        let folder = tempfile::tempdir().unwrap();
        sync_folder(&folder.path().join("new")).unwrap();
        sync_folder(Path::new("a-name-alone")).unwrap();
        sync_folder(Path::new("/dev/null")).unwrap();
        let missing = sync_folder(&folder.path().join("missing/new"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
