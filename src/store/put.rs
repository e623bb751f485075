//! Small objects that come whole and have no path of their own yet, such as a verified release text.

use super::{Blob, EntryKey, Error, Store, blocking};
use crate::digest::Digest;

/// Most bytes that may be put at once.
const MOST: usize = 16 * 1024 * 1024;

impl Store {
    /// Stores bytes as an object without an entry, durably when it returns. Bytes that are here already
    /// are not written again.
    ///
    /// # Errors
    /// [`Error::NotSmall`] above 16 MiB, [`Error::TooLarge`] when the object alone exceeds the store, or
    /// whatever the disk says.
    pub async fn put_object(&self, bytes: Vec<u8>) -> Result<Blob, Error> {
        if bytes.len() > MOST {
            return Err(Error::NotSmall { size: bytes.len(), most: MOST });
        }
        let store = self.clone();
        let staged = blocking(move || {
            let digest = Digest::of(&bytes);
            if let Some(blob) = store.object(&digest)? {
                store.touch(&digest);
                return Ok(Err(blob));
            }
            // Never described, so the key is seen by nobody.
            let mut staged = store.begin(&EntryKey { repo: "".into(), path: digest.to_string().into() })?;
            staged.write(&bytes)?;
            Ok(Ok(staged))
        })
        .await?;
        match staged {
            Ok(staged) => {
                let (digest, size) = (staged.digest(), staged.written());
                self.publish_as(staged, digest, size, None).await
            }
            Err(blob) => Ok(blob),
        }
    }
}
