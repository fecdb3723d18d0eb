// crypto.getRandomValues of PROPTEST_RNG_SEED, if there is one: splitmix64, a byte a step.
const seed = process.env.PROPTEST_RNG_SEED;
if (seed) {
    let state = BigInt(seed);
    const step = () => {
        state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
        let mixed = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
        mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
        return Number((mixed ^ (mixed >> 31n)) & 0xffn);
    };
    const getRandomValues = (view) => {
        new Uint8Array(view.buffer, view.byteOffset, view.byteLength).forEach((_, at, bytes) => (bytes[at] = step()));
        return view;
    };
    Object.defineProperty(globalThis.crypto, "getRandomValues", { value: getRandomValues });
}
