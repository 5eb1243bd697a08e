//! A browser, driven through its DevTools pipe: JSON messages that end in a zero byte, on descriptors 3 and 4.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a condition may take to hold before the test fails: long, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A headless Chromium with its own empty profile.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    session: String,
    /// What the browser has reported since the page was opened.
    pub events: VecDeque<Value>,
    profile: PathBuf,
}

impl Browser {
    /// Starts the browser with one empty page. `profile` is a folder that is empty or not there.
    ///
    /// The environment variable `CHROMIUM` names another program.
    pub fn start(profile: &Path) -> Browser {
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
        // The shell gives the browser the two pipes of this process as descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--no-proxy-server"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { break };
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let profile = profile.to_owned();
        let (session, events) = (String::new(), VecDeque::new());
        let mut browser = Browser { child, commands, messages, last_id: 0, session, events, profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        // The browser must not keep what it receives for these tests: a stream never ends.
        browser.call("Network.enable", json!({ "maxTotalBufferSize": 1, "maxResourceBufferSize": 1 }));
        browser.screen(1280, 800, 1.0);
        browser
    }

    /// Calls a method of the DevTools protocol and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    /// Sets the size of the page in CSS pixels.
    pub fn screen(&mut self, width: u32, height: u32, ratio: f64) {
        let is_phone = width < 600;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": ratio, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets media features of the page, such as `prefers-color-scheme`.
    pub fn media(&mut self, features: &[(&str, &str)]) {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Opens an address.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// Evaluates JavaScript in the page; a promise is awaited.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{script}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until JavaScript gives true.
    pub fn until(&mut self, script: &str) {
        let end = Instant::now() + PATIENCE;
        // Evaluating fails while a page is replaced by another, so a failure is no result.
        let wrapped = json!({ "expression": script, "returnByValue": true });
        while self.call("Runtime.evaluate", wrapped.clone())["result"]["value"] != json!(true) {
            if Instant::now() > end {
                let text = self.evaluate("document.body.innerText");
                panic!("never true: {script}\n{}\n{:?}", text.as_str().unwrap_or_default(), self.problems());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses and releases a key: `Tab`, `Enter`, `ArrowLeft`, or one character.
    pub fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            _ if key.chars().count() == 1 => key,
            _ => "",
        };
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Types a text into the element that has the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Moves the mouse and clicks.
    pub fn click(&mut self, x: f64, y: f64) {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let params = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Drags the mouse from a point by some pixels.
    pub fn drag(&mut self, from: (f64, f64), by: (f64, f64)) {
        let mut mouse = |kind: &str, x: f64, y: f64| {
            let params =
                json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        };
        mouse("mousePressed", from.0, from.1);
        for step in 1..=4 {
            let share = f64::from(step) / 4.0;
            mouse("mouseMoved", from.0 + by.0 * share, from.1 + by.1 * share);
        }
        mouse("mouseReleased", from.0 + by.0, from.1 + by.1);
    }

    /// Writes a picture of the page.
    pub fn picture(&mut self, file: &Path) {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        fs::write(file, from_base64(picture["data"].as_str().unwrap())).unwrap();
    }

    /// Errors on the console, uncaught exceptions and violations of the policy so far.
    pub fn problems(&mut self) -> Vec<Value> {
        // Events that were sent before this answer are there now.
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        let is_problem = |event: &Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => event["params"]["type"] != "log",
            "Log.entryAdded" => {
                let entry = &event["params"]["entry"];
                // The tests themselves read pixels of the canvas.
                let is_of_test =
                    entry["text"].as_str().is_some_and(|text| text.contains("readback operations"));
                entry["level"] != "info" && !is_of_test
            }
            _ => false,
        };
        self.events.iter().filter(|event| is_problem(event)).map(|event| event["params"].clone()).collect()
    }

    /// The addresses that the page has asked for.
    pub fn requests(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session.clear();
        let message = json!({ "id": self.last_id + 1, "method": "Browser.close" });
        let _ = self.commands.write_all(format!("{message}\0").as_bytes());
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Decodes RFC 4648, section 4.
fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(value(byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
