// Which family a Jinja template is of. The outline of a template must have all that its family writes for a
// conversation without tools, in order; what it does with tools is passed over.
#include <algorithm>
#include <filesystem>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "policy/chat/chat_template.h"
#include "policy/chat/jinja_outline.h"
#include "policy/tokenizer/json_file.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {
namespace {

// The outline has these pieces in order, begins with the first and ends with the last.
bool HasInOrder(std::string_view outline, std::initializer_list<std::string_view> pieces) {
  if (!outline.starts_with(*pieces.begin()) || !outline.ends_with(*std::prev(pieces.end()))) return false;
  size_t at = 0;
  for (const std::string_view piece : pieces) {
    const size_t found = outline.find(piece, at);
    if (found == std::string_view::npos) return false;
    at = found + piece.size();
  }
  return true;
}

#define CHATML_PROMPT R"({%ifadd_generation_prompt%}{{"<|im_start|>assistant\n"}}{%endif%})"
#define CHATML_SYSTEM R"({%ifmessages[0].role=="system"%}{{"<|im_start|>system\n"+messages[0].content+"<|im_end|>\n"}})"
#define LLAMA_PROMPT R"({%ifadd_generation_prompt%}{{"<|start_header_id|>assistant<|end_header_id|>\n\n"}}{%endif%})"

// Takes the system prompt that the template has of its own out of an outline of Qwen2, whose place it leaves as "".
std::string TakeDefaultSystem(std::string& outline) {
  constexpr std::string_view kBegin = "<|im_start|>system\n", kEnd = "<|im_end|>\n";
  for (size_t at = 0; (at = outline.find("{{\"", at)) != std::string::npos;) {
    const size_t begin = at + 2;
    size_t end = begin;
    const std::string text = OutlinedString(outline, end);
    at = end;
    if (!text.starts_with(kBegin) || !text.ends_with(kEnd) || outline.compare(end, 2, "}}") != 0) continue;
    outline.replace(begin, end - begin, "\"\"");
    return text.substr(kBegin.size(), text.size() - kBegin.size() - kEnd.size());
  }
  return "";
}

bool IsQwen2(std::string_view outline) {
  return outline == R"({%formessageinmessages%}{%ifloop.firstandmessages[0].role!="system"%}{{""}}{%endif%})"
                    R"({{"<|im_start|>"+message.role+"\n"+message.content+"<|im_end|>\n"}}{%endfor%})" CHATML_PROMPT ||
         HasInOrder(outline, {"{%iftools%}",
                              R"({%else%})" CHATML_SYSTEM R"({%else%}{{""}}{%endif%}{%endif%}{%formessageinmessages%})"
                              R"({%if(message.role=="user")or(message.role=="system"andnotloop.first))"
                              R"(or(message.role=="assistant"andnotmessage.tool_calls)%})"
                              R"({{"<|im_start|>"+message.role+"\n"+message.content+"<|im_end|>\n"}}{%elif)",
                              "{%endif%}{%endfor%}" CHATML_PROMPT});
}

// Early revisions of the template read message.content itself, later ones only when it is text.
bool IsQwen3(std::string_view outline) {
  constexpr std::string_view kSystem = R"({%else%})" CHATML_SYSTEM R"({%endif%}{%endif%})"
                                       R"({%setns=namespace(multi_step_tool=true,last_query_index=messages|length-1)%})"
                                       R"({%formessageinmessages[::-1]%})";
  constexpr std::string_view kQuery = R"(not(message.content.startswith("<tool_response>"))"
                                      R"(andmessage.content.endswith("</tool_response>"))%})"
                                      R"({%setns.multi_step_tool=false%}{%setns.last_query_index=index%}{%endif%})";
  constexpr std::string_view kTurn =
      R"({%ifloop.index0>ns.last_query_index%}{%ifloop.lastor(notloop.lastandreasoning_content)%})"
      R"({{"<|im_start|>"+message.role+"\n<think>\n"+reasoning_content.strip("\n")+"\n</think>\n\n")"
      R"(+content.lstrip("\n")}}{%else%}{{"<|im_start|>"+message.role+"\n"+content}}{%endif%}{%else%})"
      R"({{"<|im_start|>"+message.role+"\n"+content}}{%endif%}{%ifmessage.tool_calls%})";
  constexpr std::string_view kPrompt =
      R"({%endif%}{%endfor%}{%ifadd_generation_prompt%}{{"<|im_start|>assistant\n"}})"
      R"({%ifenable_thinkingisdefinedandenable_thinkingisfalse%}{{"<think>\n\n</think>\n\n"}}{%endif%}{%endif%})";
  constexpr std::string_view kUser = R"({%if(message.role=="user")or(message.role=="system"andnotloop.first)%})"
                                     R"({{"<|im_start|>"+message.role+"\n"+)";
  constexpr std::string_view kReasoning =
      R"(content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")%})";
  constexpr std::string_view kContent = R"(content.split("</think>")[-1].lstrip("\n")%})";
  return HasInOrder(outline, {"{%iftools%}", kSystem, kQuery, kUser, kReasoning, kTurn, kPrompt}) &&
         HasInOrder(outline, {"{%iftools%}", kSystem, kQuery, kUser, kContent, kTurn, kPrompt});
}

bool IsQwen3Instruct(std::string_view outline) {
  return HasInOrder(outline,
                    {"{%iftools%}", R"({%else%})" CHATML_SYSTEM R"({%endif%}{%endif%}{%formessageinmessages%})",
                     R"({%if(message.role=="user")or(message.role=="system"andnotloop.first)%})"
                     R"({{"<|im_start|>"+message.role+"\n"+content+"<|im_end|>\n"}}{%elifmessage.role=="assistant"%})"
                     R"({{"<|im_start|>"+message.role+"\n"+content}}{%ifmessage.tool_calls%})",
                     R"({{"<|im_end|>\n"}})", "{%endif%}{%endfor%}" CHATML_PROMPT});
}

bool IsLlama3(std::string_view outline) {
  // Some copies say what Jinja does anyway.
  constexpr std::string_view kSaid =
      "{%ifnotadd_generation_promptisdefined%}{%setadd_generation_prompt=false%}{%endif%}";
  if (outline.starts_with(kSaid)) outline.remove_prefix(kSaid.size());
  return outline ==
         R"({%setloop_messages=messages%}{%formessageinloop_messages%}{%setcontent="<|start_header_id|>")"
         R"(+message.role+"<|end_header_id|>\n\n"+message.content|trim+"<|eot_id|>"%})"
         R"({%ifloop.index0==0%}{%setcontent=bos_token+content%}{%endif%}{{content}}{%endfor%})" LLAMA_PROMPT;
}

bool IsLlama31(std::string_view outline) {
  return HasInOrder(
      outline,
      {"{{bos_token}}{%if", R"({%setdate_string="26 Jul 2024"%}{%endif%})",
       R"({%ifmessages[0].role=="system"%}{%setsystem_message=messages[0].content|trim%}{%setmessages=messages[1:]%})"
       R"({%else%}{%setsystem_message=""%}{%endif%}{{"<|start_header_id|>system<|end_header_id|>\n\n"}}{%if)",
       R"({{"Cutting Knowledge Date: December 2023\n"}}{{"Today Date: "+date_string+"\n\n"}}{%iftoolsisnotnone)",
       R"({{system_message}}{{"<|eot_id|>"}}{%iftools_in_user_messageandnottoolsisnone%})",
       R"({%formessageinmessages%}{%ifnot(message.role=="ipython"ormessage.role=="tool"or"tool_calls"inmessage)%})"
       R"({{"<|start_header_id|>"+message.role+"<|end_header_id|>\n\n"+message.content|trim+"<|eot_id|>"}})"
       R"({%elif"tool_calls"inmessage%})",
       "{%endif%}{%endfor%}" LLAMA_PROMPT});
}

// The template of a tokenizer_config.json: text, or a list of named ones.
absl::StatusOr<std::string> ConfiguredTemplate(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(path));
  const JsonField field = JsonField(&json, path).Member("chat_template");
  if (field.null()) {
    return absl::NotFoundError(
        absl::StrCat(path, ": chat_template: missing, and there is no chat_template.jinja; expected a chat template"));
  }
  if (!field.value().is_array()) return field.Text();
  for (size_t i = 0; i < field.value().size(); ++i) {
    if (field.Element(i).Member("name").value() == "default") return field.Element(i).Member("template").Text();
  }
  return field.Bad("a list without a template of name \"default\"");
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Recognise(std::string_view jinja, std::string bos_token,
                                                     std::string_view place) {
  absl::StatusOr<std::string> outline = JinjaOutline(jinja);
  if (!outline.ok()) return Annotate(outline.status(), place);
  if (IsQwen3(*outline)) return ChatTemplate(ChatFamily::kQwen3, "", "");
  if (IsQwen3Instruct(*outline)) return ChatTemplate(ChatFamily::kQwen3Instruct, "", "");
  if (IsLlama3(*outline)) return ChatTemplate(ChatFamily::kLlama3, std::move(bos_token), "");
  if (IsLlama31(*outline)) return ChatTemplate(ChatFamily::kLlama31, std::move(bos_token), "");
  std::string default_system = TakeDefaultSystem(*outline);
  if (IsQwen2(*outline)) return ChatTemplate(ChatFamily::kQwen2, "", std::move(default_system));
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(place),
                   ": an unknown chat template; expected that of Qwen2, Qwen2.5, Qwen3, Llama 3, 3.1, 3.2 or 3.3"));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Open(const std::string& folder) {
  const std::string config = absl::StrCat(folder, "/tokenizer_config.json");
  const std::string file = absl::StrCat(folder, "/chat_template.jinja");
  TANDEM_ASSIGN_OR_RETURN(const std::string bos_token, ConfiguredToken(config, "bos_token"));
  std::error_code error;
  if (std::filesystem::exists(file, error)) {
    TANDEM_ASSIGN_OR_RETURN(const std::string jinja, ReadFile(file));
    return Recognise(jinja, bos_token, file);
  }
  TANDEM_ASSIGN_OR_RETURN(const std::string jinja, ConfiguredTemplate(config));
  return Recognise(jinja, bos_token, absl::StrCat(config, ": chat_template"));
}

}  // namespace tandem
