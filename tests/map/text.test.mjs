import assert from "node:assert/strict";
import test from "node:test";
import { placeLabels, readPlaces } from "../../src/map/page/labels.mjs";
import { View } from "../../src/map/page/projection.mjs";
import { age, coordinates, count, distance, duration, plain, shortened, visible } from "../../src/map/page/text.mjs";

test("every character of an ID is visible and none turns the text around", () => {
  assert.equal(visible("a\u202Eevil\u2069\u0000\n"), "a‹202E›evil‹2069›‹0000›‹000A›");
  assert.equal(visible("שלום café 猫 <b>&amp;"), "שלום café 猫 <b>&amp;");
});

test("a long text ends in an ellipsis, between characters", () => {
  assert.equal(shortened("kiwi", 4), "kiwi");
  assert.equal(shortened("kiwis", 4), "kiw…");
  assert.equal(shortened("😀😀😀", 3), "😀😀😀");
  assert.equal(shortened("😀😀😀", 2), "😀…");
});

test("ages and distances are in words", () => {
  assert.deepEqual([0, 12_000, -12_000, 59_400, 3_599_000, 7_200_000, 200_000_000].map(age),
    ["now", "12 s ago", "in 12 s", "59 s ago", "59 min ago", "2 h ago", "2 days ago"]);
  assert.equal(duration(173_765_389_000), "5 years");
  assert.deepEqual([0, 0.4123, 0.9999, 3.88, 1204.3].map(distance), ["0 m", "412 m", "1.0 km", "3.9 km", "1,204 km"]);
  assert.equal(coordinates(34.06893, -118.445127), "34.06893° N 118.44513° W");
  assert.deepEqual([0, 1, 2500].map((n) => count(n, "client")), ["0 clients", "1 client", "2,500 clients"]);
});

test("HTML of a Places service is text", () => {
  assert.equal(plain('Towns: <a href="https://x/">GeoNames</a> &amp; <script>x</script>&lt;b&gt;'), "Towns: GeoNames & x<b>");
});

test("names of larger places come first and overlap nothing", () => {
  const json = { units_per_degree: 100, names: "Los Angeles\nLong Beach\nTokyo", latitudes: [3405, 3377, 3568], longitudes: [-11824, -11819, 13969] };
  const places = readPlaces(json);
  const view = new View();
  view.resize(1000, 800);
  const names = () => placeLabels(places, view, (name) => name.length * 7).map((label) => label.place.name);
  view.moveTo(0.5, 0.4, 1000);
  assert.deepEqual(names(), ["Los Angeles", "Tokyo"]);
  view.moveTo(places[0].x, places[0].y, 60_000);
  assert.deepEqual(names(), ["Los Angeles", "Long Beach"]);
});
