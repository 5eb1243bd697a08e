//! The file of `http.tokens`.
//!
//! `{ "tokens": [ { "name": "ada", "sha256": "…", "may": ["report:ada*", "read:ada*"] } ] }`

use super::{Digest, Scope};
use crate::config::Error;
use crate::config::section::Item;
use crate::config::words::quoted;
use crate::keys::writing::{Lock, NewFile};
use crate::keys::{KeysError, read_private_text};
use crate::text::fields::is_field;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The file of the tokens, as it is read and written. Names and digests are each there once.
#[derive(Clone, Debug)]
pub struct TokensFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// What the file has of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: one field of at most 64 bytes. It is the ID of a phone that reports none.
    pub name: String,
    /// The SHA-256 of the token.
    pub digest: Digest,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

impl TokensFile {
    /// Reads a file that only its owner may read, as private keys are; of at most 1 MiB and 1000 tokens.
    pub fn read(path: &Path) -> Result<TokensFile, Error> {
        let text = read_private_text(path).map_err(|error| {
            let problem = match error.is_missing() {
                true => "no such file; herd token NAME makes it with the first token".to_owned(),
                false => error.problem().to_owned(),
            };
            Error::new("", problem).in_file(path)
        })?;
        let entries = parse(&text).map_err(|error| error.in_file(path))?;
        Ok(TokensFile { path: path.to_owned(), entries })
    }

    /// Reads a file as [`TokensFile::read`] does, changes what it has, and writes it again. No other process changes
    /// it meanwhile. A file that does not exist has no tokens.
    ///
    /// The file is replaced as a whole, on the disk before it has its name, with mode 0600.
    pub fn change(
        path: &Path,
        change: impl FnOnce(&mut TokensFile) -> Result<(), String>,
    ) -> Result<(), String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let failed = |error: KeysError| error.to_string();
        let lock = Lock::take(folder).map_err(failed)?;
        let is_new = !path.exists() && !path.is_symlink();
        let mut file = match is_new {
            true => TokensFile { path: path.to_owned(), entries: Vec::new() },
            false => TokensFile::read(path).map_err(|error| error.to_string())?,
        };
        change(&mut file)?;
        // A link is followed, so that what it points to is replaced and not the link.
        let target = if is_new { path.to_owned() } else { path.canonicalize().unwrap_or(path.to_owned()) };
        lock.put(&[NewFile::private(target, file.text())]).map_err(failed)
    }

    /// The tokens in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a token. The error is one line: the name is wrong or taken, or there are too many.
    pub fn add(&mut self, entry: Entry) -> Result<(), String> {
        check_name(&entry.name)?;
        if self.entries.iter().any(|other| other.name == entry.name) {
            return Err(format!(
                "there is a token {} in {}; run herd token {} --remove first, or choose another name",
                quoted(&entry.name),
                self.path.display(),
                entry.name
            ));
        }
        if self.entries.len() >= MAX_TOKENS {
            return Err(format!(
                "{} has {MAX_TOKENS} tokens, and no more are allowed; remove one with herd token NAME --remove",
                self.path.display()
            ));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Removes the token of this name, and returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.name != name);
        self.entries.len() < before
    }

    fn text(&self) -> String {
        let entry = |entry: &Entry| {
            let may: Vec<String> = entry.scopes.iter().map(Scope::to_string).collect();
            let entry: Value = json!({ "name": entry.name, "sha256": entry.digest.to_string(), "may": may });
            format!("    {entry}")
        };
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        format!("{{\n  \"tokens\": [\n{}\n  ]\n}}\n", entries.join(",\n"))
    }
}

fn parse(text: &str) -> Result<Vec<Entry>, Error> {
    let file = Item::of_file(text)?.section(&["tokens"])?;
    let list = file.required("tokens", "[]")?;
    let items = list.list()?;
    if items.len() > MAX_TOKENS {
        return Err(list.error(format!("expected at most {MAX_TOKENS} tokens, got {}", items.len())));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
    for item in items {
        let keys = item.section(&["name", "sha256", "may"])?;
        let name_item = keys.required("name", "\"ada\"")?;
        let name = name_item.string()?;
        check_name(&name).map_err(|problem| name_item.error(problem))?;
        if entries.iter().any(|other| other.name == name) {
            return Err(name_item.error(format!("{} is there twice; remove one of the two", quoted(&name))));
        }
        let digest_item = keys.required("sha256", "64 hexadecimal digits")?;
        // The text can be a token by mistake, so that no message may repeat it.
        let digest = digest_item.string().ok().and_then(|text| text.parse().ok());
        let digest: Digest = digest.ok_or_else(|| digest_item.error(super::token::NotADigest.to_string()))?;
        if let Some(other) = entries.iter().find(|other| other.digest == digest) {
            return Err(
                digest_item.error(format!("is that of {}; remove one of the two", quoted(&other.name)))
            );
        }
        let may = keys.required("may", "[\"read:*\"]")?.list()?;
        let scopes = may.iter().map(Item::parsed).collect::<Result<_, _>>()?;
        entries.push(Entry { name, digest, scopes });
    }
    Ok(entries)
}

/// A name stands in scopes, in lists, and as the ID of a client.
fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "is empty; write one word"
    } else if !is_field(name.as_bytes()) || name.chars().any(char::is_control) {
        "has white space or a control character; write one word"
    } else if name.len() > MAX_NAME_BYTES {
        return Err(format!("expected a name of at most {MAX_NAME_BYTES} bytes, got {}", name.len()));
    } else {
        return Ok(());
    };
    Err(format!("the name {} {problem}", quoted(name)))
}

/// Each request is compared with all of them: about 10 µs.
const MAX_TOKENS: usize = 1000;

/// As for the names of servers.
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, Tokens};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("herd-tokens-{}-{test}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn file(&self) -> PathBuf {
            self.0.join("tokens.json")
        }

        fn put(&self, text: &str) {
            fs::write(self.file(), text).unwrap();
            self.set_mode(0o600);
        }

        fn set_mode(&self, mode: u32) {
            fs::set_permissions(self.file(), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(name: &str, scopes: &[&str]) -> Entry {
        let scopes = scopes.iter().map(|text| text.parse().unwrap()).collect();
        Entry { name: name.to_owned(), digest: Digest::of(name.as_bytes()), scopes }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let folder = Folder::new("written");
        let add = |entry: Entry| TokensFile::change(&folder.file(), |file| file.add(entry));
        let (ada, bob) = (entry("ada", &["report:ada*", "read:\"é*"]), entry("bob", &[]));
        add(ada.clone()).unwrap();
        add(bob.clone()).unwrap();
        assert_eq!(TokensFile::read(&folder.file()).unwrap().entries(), [ada.clone(), bob.clone()]);
        assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o7777, 0o600);
        let mut access = Access::open();
        access.replace(Some(Tokens::read(&folder.file()).unwrap()));
        assert!(access.grant_of(Some(b"ada")).unwrap().may_report(b"ada1"));
        assert!(add(entry("ada", &[])).unwrap_err().contains("herd token ada --remove first"));
        assert!(add(entry("a b", &[])).unwrap_err().contains("has white space"));
        assert!(add(entry("", &[])).unwrap_err().contains("is empty"));
        assert!(add(entry(&"x".repeat(65), &[])).unwrap_err().contains("at most 64 bytes, got 65"));
        let remove = |name: &str| {
            let mut removed = false;
            TokensFile::change(&folder.file(), |file| {
                removed = file.remove(name);
                Ok(())
            })
            .unwrap();
            removed
        };
        assert_eq!((remove("ada"), remove("ada")), (true, false));
        assert_eq!(TokensFile::read(&folder.file()).unwrap().entries(), [bob]);
        assert!(remove("bob"));
        assert_eq!(TokensFile::read(&folder.file()).unwrap().entries(), []);
        let names: Vec<_> =
            fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["tokens.json"]);
    }

    #[test]
    fn a_change_that_fails_leaves_the_file() {
        let folder = Folder::new("fails");
        let fail = |_: &mut TokensFile| Err("no".to_owned());
        assert_eq!(TokensFile::change(&folder.file(), fail), Err("no".to_owned()));
        assert!(!folder.file().exists());
        folder.put("[]");
        assert!(TokensFile::change(&folder.file(), |file| file.add(entry("ada", &[]))).is_err());
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), "[]");
    }

    #[test]
    fn a_link_is_followed() {
        let folder = Folder::new("link");
        let target = folder.0.join("elsewhere.json");
        TokensFile::change(&target, |file| file.add(entry("ada", &[]))).unwrap();
        std::os::unix::fs::symlink(&target, folder.file()).unwrap();
        TokensFile::change(&folder.file(), |file| file.add(entry("bob", &[]))).unwrap();
        assert!(folder.file().is_symlink());
        assert_eq!(TokensFile::read(&target).unwrap().entries().len(), 2);
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let folder = Folder::new("mode");
        folder.put(r#"{ "tokens": [] }"#);
        for mode in [0o640, 0o604, 0o620, 0o644] {
            folder.set_mode(mode);
            let error = Tokens::read(&folder.file()).unwrap_err().to_string();
            assert!(error.contains(&format!("(mode {mode:03o}); run chmod 600 ")), "{error}");
        }
        folder.set_mode(0o400);
        assert!(Tokens::read(&folder.file()).is_ok());
    }

    #[test]
    fn a_wrong_file_is_explained_without_its_secrets() {
        let folder = Folder::new("wrong");
        let missing = Tokens::read(&folder.file()).unwrap_err().to_string();
        assert!(
            missing.ends_with("tokens.json: no such file; herd token NAME makes it with the first token")
        );
        let token = |fields: &str| format!(r#"{{ "tokens": [ {{ {fields} }} ] }}"#);
        let sha = "0".repeat(64);
        let pair = |names: [&str; 2], shas: [&str; 2]| {
            let one =
                |at: usize| format!(r#"{{ "name": "{}", "sha256": "{}", "may": [] }}"#, names[at], shas[at]);
            format!(r#"{{ "tokens": [ {}, {} ] }}"#, one(0), one(1))
        };
        let other = "1".repeat(64);
        for (text, words) in [
            ("", "line 1, column 0: not JSON"),
            ("[]", "expected an object"),
            ("{}", "tokens: is missing"),
            (r#"{ "tokens": {} }"#, "tokens: expected a list"),
            (&token(r#""naem": "ada""#), "tokens[0].naem: unknown key"),
            (&token(r#""name": "a b""#), "tokens[0].name: the name \"a b\" has white space"),
            (&token(r#""name": "ada""#), "tokens[0].sha256: is missing"),
            (
                &token(r#""name": "ada", "sha256": "secret""#),
                "tokens[0].sha256: expected the SHA-256 of a token",
            ),
            (&token(r#""name": "ada", "sha256": ["secret"]"#), "tokens[0].sha256: expected the SHA-256"),
            (&token(&format!(r#""name": "ada", "sha256": "{sha}""#)), "tokens[0].may: is missing"),
            (
                &token(&format!(r#""name": "ada", "sha256": "{sha}", "may": ["read:*", "fly"]"#)),
                "tokens[0].may[1]: expected report:PREFIX*",
            ),
            (&pair(["ada", "ada"], [&sha, &other]), "tokens[1].name: \"ada\" is there twice"),
            (&pair(["ada", "bob"], [&sha, &sha]), "tokens[1].sha256: is that of \"ada\""),
        ] {
            folder.put(text);
            let error = Tokens::read(&folder.file()).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret") && !error.contains('\n'), "{error}");
        }
        let many = |count: usize| {
            let one = |n: usize| format!(r#"{{ "name": "n{n}", "sha256": "{n:064x}", "may": [] }}"#);
            format!(r#"{{ "tokens": [ {} ] }}"#, (0..count).map(one).collect::<Vec<_>>().join(", "))
        };
        folder.put(&many(MAX_TOKENS));
        assert!(Tokens::read(&folder.file()).is_ok());
        let added = TokensFile::change(&folder.file(), |file| file.add(entry("ada", &[])));
        assert!(added.unwrap_err().contains("has 1000 tokens, and no more are allowed"));
        folder.put(&many(MAX_TOKENS + 1));
        assert!(
            Tokens::read(&folder.file()).unwrap_err().to_string().contains("at most 1000 tokens, got 1001")
        );
    }
}
