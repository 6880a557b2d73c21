(function () {
  "use strict";
  var table = document.getElementById("questions");
  var form = document.getElementById("choose");
  if (!table || !form) { return; }
  var body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);
  var said = document.getElementById("shown");
  var fields = Array.prototype.slice.call(form.elements).filter(function (field) { return field.name; });
  var plain = function (text) { return text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase(); };
  var texts = rows.map(function (row) { return plain(row.textContent); });

  function choose() {
    var count = 0;
    rows.forEach(function (row, at) {
      var fits = fields.every(function (field) {
        if (!field.value) { return true; }
        if (field.type === "search") { return texts[at].indexOf(plain(field.value.trim())) >= 0; }
        return row.dataset[field.name] === field.value;
      });
      row.hidden = !fits;
      count += fits ? 1 : 0;
    });
    said.textContent = said.dataset.text.replace("%n%", String(count));
  }

  function key(row, name) { return row.querySelector("[data-" + name + "]").getAttribute("data-" + name); }

  function sort(head, down) {
    var name = head.dataset.sort;
    var isNumber = head.dataset.kind === "number";
    rows.map(function (row, at) { return { row: row, at: at, key: key(row, name) }; })
      .sort(function (one, two) {
        // what has no value stays last in both directions
        if (one.key === "" || two.key === "") { return (one.key === "") - (two.key === "") || one.at - two.at; }
        var order = isNumber ? one.key - two.key : one.key.localeCompare(two.key, document.documentElement.lang);
        return (down ? -order : order) || one.at - two.at;
      })
      .forEach(function (item) { body.appendChild(item.row); });
    table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  table.querySelectorAll("th[data-sort]").forEach(function (head) {
    var button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) { button.appendChild(head.firstChild); }
    head.appendChild(button);
    button.addEventListener("click", function () { sort(head, head.getAttribute("aria-sort") === "ascending"); });
  });
  form.addEventListener("input", choose);
  form.addEventListener("reset", function () { setTimeout(choose, 0); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.hidden = false;
  choose();
})();
