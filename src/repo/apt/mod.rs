//! What an apt archive's files say.
//!
//! A signed release file ([`signature`], [`release`]) lists the indices of a suite with their sizes and
//! hashes; each index ([`index`], read stanza by stanza through [`deb822`]) lists packages, sources or
//! patches the same way; and [`table`] keeps what all of them list in a form small enough to stay in
//! memory. [`by_hash`] knows the second name of an index, [`version`] which of two packages is newer.
//!
//! All of it is pure: bytes and readers come in, values go out, "now" is a parameter. Everything is
//! bounded and nothing here panics, because all input comes from the network – what a signature covers
//! too, since a signer can be careless.

pub mod by_hash;
pub mod checksum;
pub mod compression;
pub mod deb822;
pub mod index;
pub mod package_name;
pub mod release;
pub mod signature;
pub mod table;
pub mod version;
