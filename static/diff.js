// What changed between two texts, word by word: wordDiff(from, to) gives [kind, text] steps,
// kind one of same, del, ins; the texts of same and ins together are `to`.
window.wordDiff = (() => {
  // Words, runs of space, single signs; scripts without spaces between words go by the letter.
  const TOKEN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{M}\p{N}_]+(?:['’-][\p{L}\p{M}\p{N}_]+)*|\s+|[^\s]/gu;
  const MOST = 2000; // edits beyond which a diff by words says nothing: then the whole middle changed

  // Myers' greedy diff: the least number of words taken out and put in. Null: more than MOST.
  function edits(a, b) {
    const most = Math.min(a.length + b.length, MOST), middle = most + 1, reach = new Int32Array(2 * most + 3), trail = [];
    for (let d = 0; d <= most; d++) {
      trail.push(reach.slice(middle - d - 1, middle + d + 2));
      for (let k = -d; k <= d; k += 2) {
        let x = k === -d || (k !== d && reach[middle + k - 1] < reach[middle + k + 1]) ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
        let y = x - k;
        while (x < a.length && y < b.length && a[x] === b[y]) { x++; y++; }
        reach[middle + k] = x;
        if (x >= a.length && y >= b.length) return back(a, b, trail, d);
      }
    }
    return null;
  }
  function back(a, b, trail, depth) {
    const steps = [];
    let x = a.length, y = b.length;
    for (let d = depth; d >= 0; d--) {
      const reach = trail[d], at = (k) => reach[k + d + 1], k = x - y;
      const before = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? k + 1 : k - 1;
      const px = d ? at(before) : 0, py = d ? px - before : 0;
      while (x > px && y > py && x > 0 && y > 0) { steps.push(["same", a[--x]]); y--; }
      if (d) { if (x === px) steps.push(["ins", b[--y]]); else steps.push(["del", a[--x]]); }
    }
    return steps.reverse();
  }

  function diff(from, to) {
    const a = from.match(TOKEN) ?? [], b = to.match(TOKEN) ?? [];
    let head = 0, tail = 0;
    while (head < a.length && head < b.length && a[head] === b[head]) head++;
    while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
    const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail);
    const middle = edits(x, y) ?? [["del", x.join("")], ["ins", y.join("")]];
    return merged([["same", a.slice(0, head).join("")], ...middle, ["same", a.slice(a.length - tail).join("")]]);
  }
  // Runs of one kind become one; a lone space between two changes is no reading matter.
  function merged(steps) {
    const out = [];
    let gone = "", come = "";
    const flush = () => { if (gone) out.push(["del", gone]); if (come) out.push(["ins", come]); gone = come = ""; };
    steps.forEach(([kind, text], n) => {
      if (!text) return;
      if (kind === "del") gone += text;
      else if (kind === "ins") come += text;
      else if ((gone || come) && /^ $/.test(text) && n + 1 < steps.length && steps[n + 1][0] !== "same") { gone += text; come += text; }
      else { flush(); const last = out.at(-1); if (last?.[0] === "same") last[1] += text; else out.push(["same", text]); }
    });
    flush();
    return out;
  }
  return diff;
})();
