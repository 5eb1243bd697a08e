//! A small file system in memory that only a test and its servers see. The kernel removes it when they have ended, in
//! whatever way.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;

use crate::process::FORKING;

pub struct Tmpfs {
    /// Has a namespace of mounts of its own, and ends with the pipe to its standard input.
    holder: Child,
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one at `path`, of so many bytes. `None`: it may not be mounted here; the test says so and is skipped.
    pub fn mount(path: &Path, bytes: usize) -> Option<Tmpfs> {
        fs::create_dir_all(path).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNT]).arg(path);
        command.arg(format!("size={bytes}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        let spawned = command.spawn();
        drop(forking);
        let mut holder = match spawned {
            Ok(holder) => holder,
            Err(error) => return skip(&format!("unshare: {error}")),
        };
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut tmpfs = Tmpfs { holder, path: path.to_owned() };
        if line == "mounted\n" {
            return Some(tmpfs);
        }
        let mut why = String::new();
        tmpfs.holder.stderr.as_mut().unwrap().read_to_string(&mut why).unwrap();
        skip(why.trim_end())
    }

    /// The command that runs a program where the file system is mounted.
    pub fn enter(&self, program: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--");
        command.arg(program.get_program()).args(program.get_args());
        command
    }

    /// Mounts it again, with other options.
    pub fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(&self.path);
        let _forking = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(self.enter(&mount).status().unwrap().success(), "{options}");
    }

    /// A path in the file system, for this process.
    pub fn path(&self, inside: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path.strip_prefix("/").unwrap()).join(inside)
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.path(BALLAST)).unwrap();
        for size in [4096, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        fs::remove_file(self.path(BALLAST)).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn skip(why: &str) -> Option<Tmpfs> {
    println!("skipped: no file system can be mounted here: {why}");
    None
}

const MOUNT: &str = "mount -t tmpfs -o \"$1\" tmpfs \"$0\" && echo mounted && exec cat";
const BALLAST: &str = "ballast";
