//! Relations between packages: a clause that makes no sense spoils itself only, and what is read is part of
//! what was written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbung::seed::relation::{Relation, clauses};

fuzz_target!(|field: &[u8]| {
    let inside = |part: &[u8]| field.as_ptr_range().start <= part.as_ptr() && part.as_ptr_range().end <= field.as_ptr_range().end;
    let mut length = 0;
    for clause in clauses(field) {
        let text = clause.text();
        assert!(!text.is_empty() && !text.contains(&b',') && text.trim_ascii() == text && inside(text));
        length += text.len();
        let again: Vec<_> = clauses(text).collect();
        assert_eq!(again, [clause], "a clause is a field of one");
        for alternative in clause.alternatives().flatten() {
            let name = alternative.name;
            assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic) && inside(name));
            assert!(alternative.qualifier.is_none_or(|word| !word.is_empty() && inside(word)));
            // Asking must not panic, whatever stands there; no architecture is both allowed and not.
            alternative.is_for(b"amd64");
            if let Some(bound) = alternative.bound {
                assert!(!bound.version.is_empty() && inside(bound.version));
                let same = bound.admits(bound.version);
                let strict = matches!(bound.relation, Relation::Earlier | Relation::Later);
                assert_eq!(same, !strict, "a version equals itself");
                bound.admits(b"1:2.3~rc1-4");
            }
        }
    }
    assert!(length <= field.len());
});
