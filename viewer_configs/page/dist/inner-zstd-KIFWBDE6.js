import{a as d}from"./chunk-EHDCGLKA.js";import"./chunk-SQE76S5B.js";function n(r,e){let t=d(r);if(t.length!==e.length)throw new Error("damaged Zstandard data");e.set(t)}export{n as decodeZstd};
