//! What needs an administrator's eye, in sentences of both languages.

use super::{Repo, Status, Store, Upstream};
use crate::language::Language;
use crate::seed::{SeedState, State};
use crate::status::bytes_in_words;

impl Status {
    /// What needs an administrator's eye, a sentence each; empty when all is well.
    #[must_use]
    pub fn attention(&self) -> Vec<String> {
        self.attention_in(Language::English)
    }

    /// The same in a language. What upstreams and archives said stays as it was said.
    #[must_use]
    pub fn attention_in(&self, language: Language) -> Vec<String> {
        let mut notes: Vec<String> = self.store.attention(language).into_iter().collect();
        for repo in &self.repos {
            repo.attention(language, &mut notes);
        }
        for suite in &self.suites {
            let Some(problem) = &suite.problem else { continue };
            notes.push(match language {
                Language::English => format!(
                    "The newest state of {} {} cannot be adopted: {problem}. Desktops get generation {}.",
                    suite.repo, suite.suite, suite.generation
                ),
                Language::Indonesian => format!(
                    "Keadaan terbaru {} {} tidak dapat diadopsi: {problem}. Komputer mendapat generasi {}.",
                    suite.repo, suite.suite, suite.generation
                ),
            });
        }
        for seed in &self.seeds {
            notes.extend(seed_attention(seed, language));
        }
        notes
    }
}

fn seed_attention(SeedState { seed, run }: &SeedState, language: Language) -> Option<String> {
    let (name, failed) = (&seed.seed, run.journal.failed);
    let left = bytes_in_words(run.bytes_missing.unwrap_or(0));
    let problem = run.journal.problem.as_deref();
    match (run.journal.state, language) {
        (State::Incomplete, Language::English) => Some(format!(
            "{failed} files of the seed {name} could not be had, {left} are missing: `lumbung seed status {name}` \
             names them."
        )),
        (State::Incomplete, Language::Indonesian) => Some(format!(
            "{failed} berkas persediaan {name} tidak dapat diambil, kurang {left}: `lumbung seed status {name}` \
             menyebutkannya."
        )),
        (State::Failed, Language::English) => {
            Some(format!("The seed {name} cannot run: {}.", problem.unwrap_or("the log says why")))
        }
        (State::Failed, Language::Indonesian) => Some(format!(
            "Persediaan {name} tidak dapat berjalan: {}.",
            problem.unwrap_or("sebabnya ada di log")
        )),
        _ => None,
    }
}

impl Store {
    fn attention(&self, language: Language) -> Option<String> {
        let (path, free) = (self.path.display(), bytes_in_words(self.free));
        let least = bytes_in_words(self.min_free);
        if self.full {
            let held = self.held_in_words(language);
            return Some(match language {
                Language::English => format!(
                    "The store is full: what is fetched now is passed on without being kept. Raise \
                     [store] max_size or free space below {path}.{held}"
                ),
                Language::Indonesian => format!(
                    "Penyimpanan penuh: yang diambil sekarang diteruskan tanpa disimpan. Naikkan \
                     [store] max_size atau kosongkan ruang di {path}.{held}"
                ),
            });
        }
        (self.free < self.min_free).then(|| match language {
            Language::English => format!(
                "Only {free} are free below {path}; {least} should be. Old objects are being removed to keep \
                 to it."
            ),
            Language::Indonesian => {
                format!("Hanya {free} yang kosong di {path}; seharusnya {least}. Objek lama sedang dihapus.")
            }
        })
    }

    /// What keeps the store from making room, as a sentence to go on with; nothing where nothing does.
    fn held_in_words(&self, language: Language) -> String {
        if self.held_bytes == 0 {
            return String::new();
        }
        let (held, channels) = (bytes_in_words(self.held_bytes), self.held_by.join(", "));
        match (language, channels.is_empty()) {
            (Language::English, true) => {
                format!(" {held} may not be removed: the indices of suites need them.")
            }
            (Language::English, false) => format!(
                " {held} may not be removed: the indices of suites need them, or the channels {channels} point at \
                 what lists them (`lumbung suite promote` lets go of what a channel showed before its last change)."
            ),
            (Language::Indonesian, true) => {
                format!(" {held} tidak boleh dihapus: dibutuhkan oleh indeks suite.")
            }
            (Language::Indonesian, false) => format!(
                " {held} tidak boleh dihapus: dibutuhkan oleh indeks suite, atau oleh kanal {channels} \
                 (`lumbung suite promote` melepas yang ditampilkan kanal sebelum perubahan terakhir)."
            ),
        }
    }
}

impl Repo {
    fn attention(&self, language: Language, notes: &mut Vec<String>) {
        let name = &self.name;
        let resting: Vec<&Upstream> = self.upstreams.iter().filter(|upstream| !upstream.healthy).collect();
        let (down, all, words) = (resting.len(), self.upstreams.len(), last_words(&resting));
        let mut note = |english: String, indonesian: String| {
            notes.push(match language {
                Language::English => english,
                Language::Indonesian => indonesian,
            });
        };
        if down > 0 && down == all {
            note(
                format!("No upstream of {name} answers: only what is kept is served. {words}"),
                format!(
                    "Tidak ada server hulu {name} yang menjawab: hanya yang tersimpan yang dilayani. {words}"
                ),
            );
        } else if down > 0 {
            note(
                format!("{down} of {all} upstreams of {name} do not answer; the others are used. {words}"),
                format!("{down} dari {all} server hulu {name} tidak menjawab; yang lain dipakai. {words}"),
            );
        }
        let stale = self.traffic.requests.stale;
        if stale > 0 {
            note(
                format!(
                    "{stale} answers of {name} since the start were kept copies that upstream could not confirm."
                ),
                format!(
                    "{stale} jawaban {name} sejak awal adalah salinan yang tidak dapat dipastikan ke server hulu."
                ),
            );
        }
        if self.trust == "none" {
            note(
                format!("The contents of {name} are not verified (trust = \"none\")."),
                format!("Isi {name} tidak diverifikasi (trust = \"none\")."),
            );
        }
        if self.legacy_sha1 {
            note(
                format!("Signatures over SHA-1, which can be forged, count for {name} (legacy_sha1 = true)."),
                format!(
                    "Tanda tangan SHA-1, yang dapat dipalsukan, diterima untuk {name} (legacy_sha1 = true)."
                ),
            );
        }
    }
}

/// The first error among `upstreams` that has words.
fn last_words(upstreams: &[&Upstream]) -> String {
    upstreams
        .iter()
        .find_map(|upstream| upstream.last_error.as_ref().map(|error| format!("{}: {error}", upstream.url)))
        .unwrap_or_default()
}
