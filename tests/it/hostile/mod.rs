//! Clients and upstreams that mean no good.

mod fuzz;
mod requests;
mod upstream;

use std::path::Path;

/// How many objects a store holds.
fn stored_objects(store: &Path) -> usize {
    let entries =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(&store.join("objects")).map(|folder| entries(&folder).count()).sum()
}
