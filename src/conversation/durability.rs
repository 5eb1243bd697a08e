//! stub
/// D
#[derive(Debug, Default)]
pub struct Durability {
    fails: bool,
}
impl Durability {
    /// d
    pub fn fails(&self) -> bool {
        self.fails
    }
    /// d
    pub fn reached(&mut self, _: u64) {}
    /// d
    pub fn failed(&mut self) {
        self.fails = true;
    }
    /// d
    pub fn works_again(&mut self) {
        self.fails = false;
    }
}
