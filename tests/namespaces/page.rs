//! The page that is followed: its sections, and the blocks of code in them.

use std::fs;
use std::path::Path;

use crate::hosts::{Hosts, until};

pub struct Page {
    sections: Vec<Section>,
}

struct Section {
    title: String,
    blocks: Vec<Block>,
    followed: bool,
}

struct Block {
    /// What stands after the three backticks: `sh`, `text`, or a language and the name of a file.
    info: String,
    text: String,
}

impl Page {
    pub fn read(file: &str) -> Page {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let mut sections: Vec<Section> = Vec::new();
        let mut open: Option<Block> = None;
        for line in text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new() }),
                (Some(_), Some(_)) => sections.last_mut().unwrap().blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, None) if line.starts_with('#') => {
                    let title = line.trim_start_matches('#').trim().to_owned();
                    sections.push(Section { title, blocks: Vec::new(), followed: false });
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "a block of code has no end");
        Page { sections }
    }

    /// Writes the files of a section and runs its commands. Where the page shows an output, the commands are repeated
    /// until they print that; an ellipsis stands for any text.
    pub fn follow(
        &mut self,
        title: &str,
        run: &mut dyn FnMut(&str) -> Result<String, String>,
        hosts: &Hosts,
    ) {
        let section = self.sections.iter_mut().find(|section| section.title == title);
        let section = section.unwrap_or_else(|| panic!("the page has no section {title}"));
        assert!(!section.followed && section.is_for_following(), "{title}");
        section.followed = true;
        let mut blocks = section.blocks.iter().peekable();
        while let Some(block) = blocks.next() {
            match block.info.split_once(' ') {
                Some((_, file)) => hosts.write("operator", file, &block.text),
                None => {
                    assert_eq!(block.info, "sh", "{title}");
                    let shown = blocks.next_if(|next| next.info == "text").map(|next| next.text.as_str());
                    let Some(shown) = shown else {
                        run(&block.text).unwrap_or_else(|error| panic!("{title}: {error}"));
                        continue;
                    };
                    let what = format!("the commands of {title} print what the page shows");
                    let mut last = String::new();
                    until(&what, || {
                        let printed = run(&block.text).unwrap_or_else(|error| error);
                        let is_shown = matches(shown, &printed);
                        if !is_shown && printed != last {
                            eprintln!("{title}, so far:\n{printed}");
                            last = printed;
                        }
                        is_shown
                    });
                }
            }
        }
    }

    /// Panics when there is a section with commands that was not followed.
    pub fn assert_followed(&self) {
        for section in &self.sections {
            assert!(section.followed || !section.is_for_following(), "{} was not followed", section.title);
        }
    }
}

impl Section {
    fn is_for_following(&self) -> bool {
        self.blocks.iter().any(|block| block.info == "sh" || block.info.contains(' '))
    }
}

/// Whether `printed` is `shown`, in which `…` stands for any text.
fn matches(shown: &str, printed: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let Some(mut rest) = parts.next().and_then(|first| printed.trim_end().strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    let cases = [
        ("a\n", "a\n", true),
        ("a\n", "ab\n", false),
        ("a…c", "abc", true),
        ("a…c", "abcd", false),
        ("…b…", "abc", true),
        ("…\nb\n…\n", "x\nb\n\n", false),
        ("…\nb\n…\n", "x\nb\ny\n", true),
        ("a…b…", "ac", false),
    ];
    for (shown, printed, expected) in cases {
        assert_eq!(matches(shown, printed), expected, "{shown:?} {printed:?}");
    }
}
