// What exifreader reads from the pictures named as arguments: JSON, path -> tag -> text.
const ExifReader = require("exifreader");
const fs = require("fs");

const found = {};
for (const path of process.argv.slice(2)) {
  const tags = ExifReader.load(fs.readFileSync(path));
  const comment = tags.UserComment && Buffer.from(tags.UserComment.value).subarray(8).swap16().toString("utf16le");
  const text = (name) => tags[name] && String(tags[name].description ?? tags[name].value);
  const names = ["DigitalSourceType", "AISystemUsed", "AISystemVersionUsed", "AIPromptInformation"];
  const said = { parameters: comment ?? text("parameters"), Title: text("title"), Description: text("description") };
  for (const name of [...names, "AltTextAccessibility"]) said[name] = text(name);
  found[path] = said;
}
console.log(JSON.stringify(found));
