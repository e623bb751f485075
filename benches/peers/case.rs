//! What is asked, and by how many.

/// By what CPU time is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Request,
    Gigabyte,
}

/// Files of one case: their common name, how many, and the sizes that they take in turn.
#[derive(Debug, Clone)]
pub struct Files {
    pub name: &'static str,
    pub count: usize,
    pub sizes: Vec<usize>,
}

impl Files {
    fn new(name: &'static str, count: usize, sizes: &[usize]) -> Self {
        Self { name, count, sizes: sizes.to_vec() }
    }

    /// Path and size of each.
    pub fn list(&self) -> impl Iterator<Item = (String, usize)> + '_ {
        (0..self.count).map(|number| {
            let path = format!("/pool/main/{}/{}_{number}_amd64.deb", self.name, self.name);
            (path, self.sizes[number % self.sizes.len()])
        })
    }
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub files: Files,
    pub connections: usize,
    /// A header of each request.
    pub header: Option<(&'static str, &'static str)>,
    pub unit: Unit,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Case {
    /// Every case; smaller ones for a smoke test.
    pub fn all(smoke: bool) -> Vec<Self> {
        let small = Files::new("small", 1, &[32 * KIB]);
        // Sizes as in an archive: many indices and small packages, few of some hundred kilobytes.
        let mixed =
            [700, 2 * KIB, 5 * KIB, 9 * KIB, 14 * KIB, 24 * KIB, 40 * KIB, 70 * KIB, 130 * KIB, 6 * KIB];
        let mixed = Files::new("mixed", if smoke { 50 } else { 2000 }, &mixed);
        let large = Files::new("large", 1, &[if smoke { 3 * MIB } else { 100 * MIB }]);
        let huge = Files::new("huge", 1, &[if smoke { 4 * MIB } else { 1024 * MIB }]);
        let case = |name, files: &Files, connections, unit| Self {
            name,
            files: files.clone(),
            connections,
            header: None,
            unit,
        };
        let headed = |case: Self, header| Self { header: Some(header), ..case };
        vec![
            case("hit, 32 KiB, 1 connection", &small, 1, Unit::Request),
            case("hit, 32 KiB, 32 connections", &small, 32, Unit::Request),
            case("hit, 32 KiB, 256 connections", &small, 256, Unit::Request),
            case("hit, mixed small files, 32 connections", &mixed, 32, Unit::Request),
            case("hit, 100 MiB, 1 connection", &large, 1, Unit::Gigabyte),
            case("hit, 100 MiB, 8 connections", &large, 8, Unit::Gigabyte),
            case("hit, 100 MiB, 64 connections", &large, 64, Unit::Gigabyte),
            headed(
                case("not modified, 32 connections", &small, 32, Unit::Request),
                ("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT"),
            ),
            headed(
                case("range of 1 MiB in 1 GiB, 8 connections", &huge, 8, Unit::Gigabyte),
                ("Range", "bytes=3000000-4048575"),
            ),
        ]
    }
}
