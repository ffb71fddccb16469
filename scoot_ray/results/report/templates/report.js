"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("js");
  for (const hidden of all("fieldset[hidden], button[hidden]")) hidden.hidden = false;

  const choices = all(".choice");
  const radios = all("input[name=point]");
  const choose = (trial) => {
    if (!choices.some((one) => one.dataset.point === trial)) return false;
    for (const one of choices) one.classList.toggle("selected", one.dataset.point === trial);
    for (const one of radios) one.checked = one.value === trial;
    for (const one of all("#choose svg a")) one.classList.toggle("selected", one.dataset.trial === trial);
    return true;
  };
  if (choices.length) {
    choose((choices.find((one) => one.querySelector("h3 .badge")) || choices[0]).dataset.point);
    for (const radio of radios) radio.addEventListener("change", () => choose(radio.value));
    document.getElementById("choose").addEventListener("click", (event) => {
      const link = event.target.closest("svg a");
      if (link && choose(link.dataset.trial)) event.preventDefault();
    });
  }

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.matches("details")) {
      show("all");
      target.open = true;
      target.scrollIntoView({ block: "nearest" });
    } else if (target.matches(".choice")) choose(target.dataset.point);
  };
  const trials = all(".trial");
  const filters = all("input[name=filter]");
  const show = (wanted) => {
    for (const one of filters) one.checked = one.value === wanted;
    for (const one of trials) one.hidden = wanted !== "all" && !one.classList.contains(wanted);
  };
  for (const one of filters) one.addEventListener("change", () => show(one.value));
  addEventListener("hashchange", reveal);
  reveal();

  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
