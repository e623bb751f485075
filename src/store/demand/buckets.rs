//! How often something was asked for, and by how many, within the last sixty days or so.
//!
//! Four stretches of fifteen days each have a count and 256 marks. A client makes one mark, by the hash of its
//! address; from the share of places without one follows about how many there were (linear counting: Whang,
//! Vander-Zanden and Taylor, 1990). That is right to a few per cent for the hundreds of desktops of a regency, and
//! tells that there were many beyond a thousand. Marks do not tell addresses: thousands share each place.

use std::net::IpAddr;

use crate::digest::Digest;

/// Days of a stretch.
const DAYS: i64 = 15;

/// How many stretches are kept.
const KEPT: usize = 4;

/// Bytes of the marks of a stretch.
const MARKS: usize = 32;

/// Bytes of a stretch: its count and its marks.
const STRETCH: usize = 4 + MARKS;

/// The stretches, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    /// The number of the latest stretch.
    latest: i64,
    stretches: [Stretch; KEPT],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stretch {
    times: u32,
    marks: [u8; MARKS],
}

impl Buckets {
    /// As [written](Self::write); anything else counts as nothing.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut buckets = Self::default();
        let Some((latest, rest)) = bytes.split_first_chunk::<8>() else { return buckets };
        if rest.len() != KEPT * STRETCH {
            return buckets;
        }
        buckets.latest = i64::from_be_bytes(*latest);
        for (stretch, bytes) in buckets.stretches.iter_mut().zip(rest.as_chunks::<STRETCH>().0) {
            let (times, marks) = bytes.split_at(4);
            stretch.times = times.iter().fold(0, |times, byte| times << 8 | u32::from(*byte));
            stretch.marks.copy_from_slice(marks);
        }
        buckets
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = self.latest.to_be_bytes().to_vec();
        for stretch in &self.stretches {
            bytes.extend(stretch.times.to_be_bytes());
            bytes.extend(stretch.marks);
        }
        bytes
    }

    /// Notes that a client asked so often on a day. A day before all that is kept counts to the first one kept.
    pub(super) fn note(&mut self, day: i64, client: IpAddr, times: u32) {
        let number = day.div_euclid(DAYS);
        if number > self.latest {
            let by = usize::try_from(number - self.latest).unwrap_or(KEPT).min(KEPT);
            self.stretches.rotate_right(by % KEPT);
            for stretch in &mut self.stretches[..by] {
                *stretch = Stretch::default();
            }
            self.latest = number;
        }
        let at = usize::try_from(self.latest - number).unwrap_or(KEPT).min(KEPT - 1);
        let stretch = &mut self.stretches[at];
        stretch.times = stretch.times.saturating_add(times);
        let place = Digest::of(client.to_string().as_bytes()).as_bytes()[0];
        stretch.marks[usize::from(place / 8)] |= 1 << (place % 8);
    }

    /// How often since a day, to a stretch, and by about how many clients.
    pub(super) fn since(&self, day: i64) -> (u64, u64) {
        let first = day.div_euclid(DAYS);
        let counted = self.stretches.iter().zip(0_i64..).filter(|(_, at)| self.latest - at >= first);
        let mut marks = [0; MARKS];
        let mut times = 0;
        for (stretch, _) in counted {
            times += u64::from(stretch.times);
            for (all, one) in marks.iter_mut().zip(stretch.marks) {
                *all |= one;
            }
        }
        (times, estimate(&marks))
    }
}

/// About how many clients left these marks.
fn estimate(marks: &[u8; MARKS]) -> u64 {
    const PLACES: f64 = 256.0;
    let free = marks.iter().map(|byte| byte.count_zeros()).sum::<u32>();
    // With no place free there may be any number; half a place gives an end.
    let share = f64::from(free).max(0.5) / PLACES;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1597")]
    let clients = (-PLACES * share.ln()).round() as u64;
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn stretches_move_on_and_are_read_again() {
        let mut buckets = Buckets::default();
        for (day, number) in [(3000, 1), (3001, 1), (3015, 2), (3016, 3), (3014, 4)] {
            buckets.note(day, client(number), 1);
            buckets = Buckets::read(&buckets.write());
        }
        assert_eq!(buckets.since(3000), (5, 4));
        assert_eq!(buckets.since(3015), (2, 2));
        buckets.note(3000 + 4 * DAYS, client(5), 7);
        assert_eq!(buckets.since(0), (9, 3), "the oldest went");
        buckets.note(9000, client(6), 1);
        assert_eq!(buckets.since(0), (1, 1));
        assert_eq!(Buckets::read(b"short"), Buckets::default());
    }

    #[test]
    fn hundreds_of_clients_are_told_from_tens() {
        for (clients, low, high) in [(1, 1, 1), (40, 35, 45), (500, 400, 600), (100_000, 1000, 2000)] {
            let mut buckets = Buckets::default();
            for number in 0..clients {
                buckets.note(100, client(number), 1);
            }
            let (times, about) = buckets.since(100);
            assert_eq!(times, u64::from(clients));
            assert!((low..=high).contains(&about), "{clients}: {about}");
        }
    }
}
