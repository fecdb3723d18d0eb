// Runs a wasm32-wasip1 command in V8: v8.mjs MODULE FOLDER, where the command sees FOLDER as /folder.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [module, folder] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", returnOnExit: false, args: ["command", "/folder"], preopens: { "/folder": folder } });
const compiled = await WebAssembly.compile(await readFile(module));
const instance = await WebAssembly.instantiate(compiled, wasi.getImportObject());
process.exitCode = wasi.start(instance) ?? 0;
