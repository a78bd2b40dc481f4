"""Replies as models write them: what streamed rendering is tried on."""

from __future__ import annotations

import re
from itertools import count, cycle

ENGLISH = """\
Sure! Here is the short version of how **HTTP caching** works, and what you can do about stale pages.

A browser keeps a copy of what it fetched. Before it uses that copy again, it asks itself two questions: *is it
still fresh?* and, if not, *has it changed?* The first is answered by `Cache-Control: max-age=…`, the second by a
request with `If-None-Match` and the `ETag` of the copy.

Three things that are often mixed up:

- `no-store` means "never keep this at all".
- `no-cache` means "keep it, but ask before **every** use" (despite its name).
- `must-revalidate` matters only once the copy is *stale*.

If you ship files with a hash in their name (`app.3f9c1e.js`), let them live for a year:

```http
Cache-Control: public, max-age=31536000, immutable
```

The page that *names* these files must not be cached for long, of course. See the
[MDN page on caching](https://developer.mozilla.org/en-US/docs/Web/HTTP/Caching) for the details, or RFC 9111 at
<https://www.rfc-editor.org/rfc/rfc9111>. Does that help? ~~Feel free~~ Just ask if something is unclear.
"""

GERMAN = """\
## Kündigungsfristen im Überblick

Für ein unbefristetes Mietverhältnis gilt in Deutschland grundsätzlich: Mieter dürfen **mit einer Frist von drei
Monaten** kündigen, egal wie lange sie schon in der Wohnung leben. Für Vermieter verlängert sich die Frist mit der
Mietdauer:

| Mietdauer       | Frist für Vermieter | Frist für Mieter |
|:----------------|:-------------------:|-----------------:|
| bis 5 Jahre     | 3 Monate            | 3 Monate         |
| 5 bis 8 Jahre   | 6 Monate            | 3 Monate         |
| ab 8 Jahren     | 9 Monate            | 3 Monate         |

1. Das Schreiben muss **spätestens am dritten Werktag** des Monats zugehen, damit dieser Monat noch mitzählt.
2. Es braucht eine eigenhändige Unterschrift; eine E-Mail genügt *nicht* (§ 568 BGB).
3. Bei mehreren Mietern müssen *alle* unterschreiben.

> **Achtung:** Der Samstag zählt bei der Karenzzeit von drei Werktagen mit, der Sonntag nicht. Wer sichergehen
> will, schickt das Schreiben per Einwurf-Einschreiben – oder gibt es vor Zeugen ab.

Ein Beispiel: Geht die Kündigung am 3. Mai zu, endet das Mietverhältnis am 31. Juli. „Übergabeprotokoll“ nicht
vergessen!
"""

ARABIC = """\
# مقدمة في البرمجة بلغة بايثون

**بايثون** لغة برمجة عالية المستوى، سهلة القراءة، وتُستخدم في *تحليل البيانات* وتطوير المواقع. لنبدأ بمثال بسيط:

```python
الاسم = "ليلى"
print(f"مرحبا يا {الاسم}")
```

1. ثبّت بايثون من الموقع [python.org](https://www.python.org/downloads/).
2. افتح الطرفية واكتب `python --version`.
3. أنشئ ملفًا باسم `hello.py` ثم شغّله.

| المفهوم | المثال | الشرح |
|---|---|---|
| متغير | `x = 5` | قيمة لها اسم |
| قائمة | `[1, 2, 3]` | **عدة** قيم مرتبة |

> ملاحظة: المسافات في بداية السطر مهمة جدًا في بايثون!
"""

HEBREW = """\
שלום! הנה **שלושה** דברים שכדאי לדעת על `git`:

- כל *commit* הוא תמונת מצב של הפרויקט.
- ענף (`branch`) הוא רק **שם** שמצביע על commit אחד.
  - אפשר ליצור ענף חדש עם `git switch -c feature`.
  - אפשר למחוק אותו עם `git branch -d feature`.
- הפקודה `git reflog` מצילה כמעט תמיד.

הנוסחה לחישוב: $n^2 + 2n$ עבור $n > 0$. ראו גם [את המדריך](https://git-scm.com/book/he/v2), פרק 3.
"""

CHINESE = """\
### 什么是“闭包”？

**闭包**（closure）是指函数*记住了*它被定义时的环境。即使外层函数已经返回，内层函数仍然可以访问那些变量。

```javascript
function counter() {
  let n = 0;            // 这个变量被“关”在里面
  return () => ++n;
}
const next = counter();
console.log(next(), next()); // 1 2
```

要点：

1. 变量 `n` 不会被垃圾回收，因为**还有函数引用它**。
2. 每次调用 `counter()` 都会得到*新的*环境。
3. 请看[这篇文章](https://developer.mozilla.org/zh-CN/docs/Web/JavaScript/Closures)，或者直接访问https://javascript.info/closure。

时间复杂度是 $O(1)$，空间复杂度是 $O(n)$。
"""

JAPANESE = """\
はい、**非同期処理**について説明しますね。

`async` を付けた関数は *コルーチン* を返します。`await` すると、結果が出るまで**その関数だけ**が待ちます。

| 書き方 | 意味 | 例 |
|---|---|---|
| `await f()` | 順番に待つ | ログイン → 取得 |
| `asyncio.gather()` | 同時に待つ | 画像を**まとめて**取得 |

> 注意：`time.sleep()` はループ全体を止めます。代わりに `await asyncio.sleep(1)` を使いましょう。

- [x] Python 3.11 以降を使う
- [ ] `TaskGroup` を試す
- [ ] タイムアウトを決める（`asyncio.timeout(5)`）

質問があれば、いつでもどうぞ！
"""

EMOJI = """\
# 🎉 Party plan 🎈

Here's what I'd do for **12 kids** 👧🏽👦🏻🧒 (and 👩‍👩‍👧‍👦 + 👨‍🦽 of course):

- 🎂 **Cake** – chocolate, _no nuts_ 🥜🚫
- 🎮 Games
  1. 🏃‍♀️ Sack race
  2. 🎯 Darts (soft ones!)
  3. 🇫🇷🇯🇵🇧🇷 "guess the flag"
- 🍕 Pizza from Cafe\u0301 Zoe\u0308, about 8 €

Combining marks: n\u0303, a\u030a, Z\u0351\u0343\u0353a\u0308\u0310lgo\u0335\u0322,
\u0928\u092e\u0938\u094d\u0924\u0947, สวัสดี, \u1112\u1161\u11ab. And a shrug: ¯\\\\\\_(ツ)\\_/¯

> 💡 *Tip:* send the invitations **two weeks** before! ❤️‍🔥

Total: ~~150 €~~ **120 €** ✅
"""

PYTHON = '''\
Here is a small, complete rate limiter. It needs no dependencies and works with `asyncio`:

```python
"""A token bucket: at most `rate` calls a second, `burst` of them at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Bucket:
    rate: float
    burst: int = 1
    _tokens: float = field(init=False, default=0.0)
    _seen: float = field(init=False, default_factory=time.monotonic)

    async def take(self, count: int = 1) -> None:
        """Wait until `count` tokens are there, and take them.

        A count above `burst` would wait forever, so it is an error:

            >>> asyncio.run(Bucket(1.0).take(2))
            Traceback (most recent call last):
            ValueError: 2 > 1
        """
        if count > self.burst:
            raise ValueError(f"{count} > {self.burst}")
        while (missing := count - self._refill()) > 0:
            await asyncio.sleep(missing / self.rate)
        self._tokens -= count

    def _refill(self) -> float:
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._seen) * self.rate)
        self._seen = now
        return self._tokens


async def main(**options: int) -> None:
    bucket = Bucket(rate=5, burst=2)
    for number in range(10):
        await bucket.take()
        print(f"{number:>3}  {time.monotonic():.2f}", *options.items())


if __name__ == "__main__":
    asyncio.run(main(seed=2 ** 8))
```

Some notes on the design:

* `_refill` is **pure bookkeeping**: it never sleeps.
* `take` loops, since another task may have been *faster* in the meantime.
* For several processes you'd need something shared, e.g. Redis with a Lua script.

To test it, replace `time.monotonic` by a fake clock:

```python
def test_burst(monkeypatch):
    clock = iter([0.0, 0.0, 0.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    bucket = Bucket(rate=10, burst=1)
    assert bucket._refill() == 0
```
'''

SQL = """\
The query is slow because of the correlated subquery: it runs once *per row*. Use a window function instead.

```sql
-- top three orders of each customer, newest first
WITH ranked AS (
    SELECT o.id, o.customer_id, o.total,
           ROW_NUMBER() OVER (PARTITION BY o.customer_id ORDER BY o.placed_at DESC) AS rn
    FROM orders AS o
    WHERE o.status <> 'cancelled' AND o.total > 100.00
)
SELECT c.name, r.id, r.total
FROM ranked AS r
JOIN customers AS c ON c.id = r.customer_id
WHERE r.rn <= 3
ORDER BY c.name, r.rn;
```

Then add an index, and look at the plan again:

```bash
#!/usr/bin/env bash
set -euo pipefail
psql "$DATABASE_URL" <<'SQL'
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_customer
    ON orders (customer_id, placed_at DESC) WHERE status <> 'cancelled';
SQL
for table in orders customers; do
    psql "$DATABASE_URL" -c "ANALYZE ${table};" | sed 's/^/    /' || exit 1
done
```

Expect something like this:

    Limit  (cost=0.43..12.97 rows=3 width=24)
      ->  Index Scan using orders_by_customer on orders o
            Index Cond: (customer_id = 42)

The variables `$DATABASE_URL` and `$PATH` must be set; on Windows write `%PATH%`.
"""

LISTS = """\
To deploy the service, follow these steps:

1. **Build the image**

   ```bash
   docker build -t registry.example.com/shop:1.4.2 .
   ```

   If that fails, check that:
   - the Docker daemon runs (`systemctl status docker`),
   - you are logged in:
     ```bash
     docker login registry.example.com
     ```
   - there are *at least* 2 GB left on `/var/lib/docker`.

2. **Push it**, and note the digest:

   ```text
   1.4.2: digest: sha256:9f2b… size: 1573
   ```

3. **Roll out**
   1. Staging first:
      - `kubectl set image deploy/shop shop=…`
      - wait for `kubectl rollout status deploy/shop`
        1. it prints a line for each replica
        2. and ends with *successfully rolled out*
   2. Then production.

4. Tidy up:
   - [x] remove old images
   - [ ] close the ticket
   - [ ] tell **#ops**

- + a dash, then a plus
- * a dash, then a star

Done!
"""

TABLES = """\
Here's how the three libraries compare:

| Library | Install | Licence | Notes |
|:--------|---------|:-------:|------:|
| **requests** | `pip install requests` | Apache 2.0 | sync only, [docs](https://requests.readthedocs.io) |
| *httpx* | `pip install "httpx[http2]"` | BSD-3 | sync **and** async, [docs](https://www.python-httpx.org/) |
| ~~urllib2~~ | – | PSF | Python 2 only; use `urllib.request` |
| `aiohttp` | `pip install aiohttp` | Apache 2.0 | a\\|b in a cell, and `x \\| y` in code<br>two lines |

And in numbers (requests per second, _higher is better_):

| clients | requests | httpx | aiohttp |
|--:|--:|--:|--:|
| 1 | 812 | 640 | 1,905 |
| 10 | 815 | 2,210 | 6,480 |
| 100 | 801 | 2,470 | **9,310** |

a | b
--|--
no outer | bars

Pick `httpx` unless you need every last request. More at https://example.com/bench?x=1&y=2 and ![the chart](https://example.com/chart_1.png).
"""

MATH = r"""
To solve $ax^2 + bx + c = 0$ with $a \neq 0$, complete the square:

$$
\begin{aligned}
x^2 + \frac{b}{a}x &= -\frac{c}{a} \\
\left(x + \frac{b}{2a}\right)^2 &= \frac{b^2 - 4ac}{4a^2}
\end{aligned}
$$

which gives \(x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}\). The discriminant \(D = b^2 - 4ac\) decides:

- \(D > 0\): two real roots, $x_1 * x_2 = c/a$ and $x_1 + x_2 = -b/a$
- $D = 0$: one
- $D < 0$: a pair of complex ones, $x = p \pm q\,i$

The same with matrices, where `*` is no multiplication of elements:

\[
A^{*} = \begin{pmatrix}
a_{11} & a_{12} \\
a_{21} & a_{22}
\end{pmatrix}^{\!*},
\qquad \lVert A x \rVert_2 \le \lVert A \rVert \, \lVert x \rVert_2
\]

In one line: $$\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}$$ and \[ \sum_{k=1}^n k = \frac{n(n+1)}{2} \] hold.

> By Euler, $e^{i\pi} + 1 = 0$.

| function | derivative |
|---|---|
| $\sin x$ | $\cos x$ |
| \(\ln |x|\) | $1/x$ |

So the answer is **$x = 3$**.
"""

QUOTES = """\
> A program is a letter to the next reader.
>
> — *an old colleague*, "Notes on naming"

That line is often quoted without its context. In the notes the next lines are:

> And the next reader is mostly you,
> half a year later, **tired**—
> and without the letter before it
>
> > A quote in a quote, as in a mail
> > that was answered `inline`
>
> 1. a list in a quote
> 2. with `code`
>
>     indented code, too
>
> ```text
> a fence
> ```
lazy lines after a fence are none

Setext headings
===============

Also seen
---------

Some prefer headings that are underlined. ***Very*** important. Escapes: \\*not emphasis\\*, 1\\. not a list,
AT&amp;T &copy; 2024 &#8364; and &lt;b&gt;.

***

A rule above, a [reference][notes] here, and a footnote mark[^1] that stays as it is.

[notes]: https://naming.example/notes.html "Notes on naming"
"""

HTML = """\
In HTML, `<br>` breaks a line and <kbd>Ctrl</kbd>+<kbd>C</kbd> shows keys. A minimal page:

```html
<!DOCTYPE html>
<html lang="en">
  <head><meta charset="utf-8"><title>Hi & bye</title></head>
  <body onload="alert('no')">
    <p class="lead">Hello, <b>world</b>!</p>
    <script>console.log("</p>" < 3);</script>
  </body>
</html>
```

<details>
<summary>More</summary>

Inside of *details* there is **markdown**, too.

</details>

If a < b and b > c, then... write `&lt;` for <. Generics such as `List<String>` or Vec<u8> keep their brackets, and
so does <T extends Foo>. First line<br>second line<br/>third. Mail me at <jane.doe@example.com>.
"""

PRICES = """\
Short answer: the **Pro** plan at $20/month is the cheaper one once you send more than $5 worth of messages a day.

- Free: $0, 100 messages
- Pro: $20 (or $200 a year, i.e. $16.67 a month)
- Team: US$25–$30 per seat; for 10 seats that is $250 to $300

A message costs about $0.002, so $1 buys 500 of them; 2 * 500 = 1,000 for $2. In the shell, `echo $HOME` or
"$PATH" and ${USER} are variables, not prices; array[0] and snake_case_name are no markup, nor is a ~ b or 5 * 3 * 2.

Is $10 + $15 = $25? Yes. #1 tip: pay yearly & save ~17 %.
"""

WINDOWS = """\
# Fixing `ENOENT` on Windows

The path has **backslashes**: C:\\Users\\me\\new_project\\test. Either double them or use a raw string:

```python
path = r"C:\\Users\\me\\new_project"
print(path)
```

| Way | Example |
|---|---|
| raw | `r"C:\\x"` |
| slashes | `"C:/x"` |

1. Open *PowerShell*
2. Run `Get-ChildItem -Recurse | Select-Object FullName`

> It should list **all** files.
""".replace("\n", "\r\n")

CUT_OFF = """\
Here is the whole script; save it as `backup.sh` and make it executable:

```bash
#!/bin/sh
# keeps seven days of backups
dir=/var/backups/$(date +%F)
mkdir -p "$dir" && cp -a /etc "$dir/" || {
    echo "failed: `whoami` at ${dir}" >&2
    exit 1
}
find /var/backups -maxdepth 1 -mtime +7 -exec rm -rf {} \\;
for host in alpha beta gamma; do
    rsync -az --delete "$dir/" "backup@$host:/srv/backup/
"""

TUTORIAL = '''\
# A tiny web service, step by step

We will build a service that shortens links. You need **Python 3.11** or newer, nothing else to begin with; later we
add `uvicorn`. I'll explain each step, and at the end there is a *checklist*.

## 1. The data

A link is a `slug` (the short name), a `url` and a counter. SQLite is plenty for that:

| column | type      | note                          |
|--------|-----------|-------------------------------|
| `slug` | `TEXT`    | **primary key**, 6 characters |
| `url`  | `TEXT`    | not null                      |
| `hits` | `INTEGER` | starts at 0                   |

```sql
CREATE TABLE IF NOT EXISTS links (
    slug TEXT PRIMARY KEY CHECK (length(slug) = 6),
    url  TEXT NOT NULL,
    hits INTEGER NOT NULL DEFAULT 0
);
```

How likely is it that two random slugs are the same? With $n$ links and an alphabet of 62 letters, the birthday bound
gives about

$$
p \\approx 1 - e^{-n^2 / (2 \\cdot 62^6)}
$$

so for $n = 10^4$ that is \\(p \\approx 0.0009\\). Good enough, if we try again on a clash.

## 2. The code

```python
import secrets
import sqlite3
import string

ALPHABET = string.ascii_letters + string.digits


class Links:
    """Short names for long addresses.

    The connection is opened once; SQLite is fast enough for a few thousand
    requests a second on any laptop.
    """

    def __init__(self, path=":memory:"):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(open("schema.sql").read())

    def add(self, url: str) -> str:
        while True:
            slug = "".join(secrets.choice(ALPHABET) for _ in range(6))
            try:
                self._db.execute("INSERT INTO links (slug, url) VALUES (?, ?)", (slug, url))
            except sqlite3.IntegrityError:
                continue  # the name is taken: try another
            return slug

    def follow(self, slug: str) -> str | None:
        row = self._db.execute(
            "UPDATE links SET hits = hits + 1 WHERE slug = ? RETURNING url", (slug,)
        ).fetchone()
        return row and row[0]


links = Links()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    slug = scope["path"].lstrip("/")
    url = links.follow(slug)
    status, headers = (302, [(b"location", url.encode())]) if url else (404, [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if url else b"no such link\\n"})


if __name__ == "__main__":
    print(links.add("https://example.com/a/very/long/address?with=a&query=1"))
```

Two remarks:

1. `RETURNING` needs SQLite 3.35. If yours is older:
   - run the `UPDATE` first,
   - then a `SELECT`, both in one transaction:

     ```python
     with self._db:
         self._db.execute("BEGIN IMMEDIATE")
         ...
     ```

   - or just upgrade; see the [release notes](https://www.sqlite.org/changes.html).
2. `follow` never raises for an unknown name: it returns `None`, and the caller decides.

> **Do not** use `random.choice` here. Its numbers can be predicted from a few hundred slugs; `secrets` asks the
> operating system.

## 3. Running it

```console
$ pip install uvicorn
$ uvicorn shorten:app --port 8000
INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)
```

Then open <http://127.0.0.1:8000/abc123>. A small server for this costs about $5 a month; with $10 you get *twice* the
memory, which you won't need.

---

### Checklist

- [x] schema
- [x] code
- [ ] tests (`pytest -q`)
- [ ] a ~~cron job~~ timer that deletes links with `hits = 0` after 90 days

Shall I write the tests next? They'd be about 40 lines, with a fake clock for the timer and `tmp_path` for the file.
'''

REPLIES = {
    "English": ENGLISH,
    "German": GERMAN,
    "Arabic": ARABIC,
    "Hebrew": HEBREW,
    "Chinese": CHINESE,
    "Japanese": JAPANESE,
    "emoji": EMOJI,
    "Python": PYTHON,
    "a tutorial": TUTORIAL,
    "SQL and bash": SQL,
    "nested lists": LISTS,
    "tables": TABLES,
    "math": MATH,
    "quotations": QUOTES,
    "HTML in text": HTML,
    "prices": PRICES,
    "Windows line ends": WINDOWS,
    "cut off in code": CUT_OFF,
}

_NUMBER = re.compile(r"(?<![\w.\\{&#])[2-9](?![\w.)])")
"""What may be another number without a change of meaning for markdown."""


def long(length: int, *names: str) -> str:
    """A reply of at least that length: the sections of the named ones (or most) again and again, with other numbers."""
    text, sections = "", cycle(REPLIES[name] for name in names or [*REPLIES][:-2])
    for section, by in zip(sections, count(), strict=False):
        if len(text) >= length:
            break
        text += _NUMBER.sub(lambda found, by=by: str(int(found[0]) + by), section) + "\n"
    return text
