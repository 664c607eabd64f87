// SPDX-License-Identifier: Apache-2.0

// A check for clang-tidy 19 that reports nothing: it keeps the other checks to the declarations of this project, which
// halves the time of a run. Without it every check looks at all that the system's headers declare, only for the
// findings there to be thrown away. clang-tidy 22 does the same by itself; with it this file can go.
//
// Loaded by `./run lint` (clang-tidy's --load), written against the interface of Debian's libclang-19-dev.

#include <vector>

#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>
#include <clang/AST/ASTContext.h>
#include <clang/ASTMatchers/ASTMatchers.h>
#include <clang/Basic/SourceManager.h>

namespace {

class OwnCode : public clang::tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerMatchers(clang::ast_matchers::MatchFinder* finder) override {
    finder->addMatcher(clang::ast_matchers::translationUnitDecl().bind("unit"), this);
  }

  // The unit itself is matched before what it declares; what it declares is then taken from the scope set here.
  void check(const clang::ast_matchers::MatchFinder::MatchResult& found) override {
    std::vector<clang::Decl*> scope;
    for (clang::Decl* const declaration : found.Context->getTranslationUnitDecl()->decls()) {
      const clang::SourceLocation place = found.SourceManager->getExpansionLoc(declaration->getLocation());
      if (place.isValid() && !found.SourceManager->isInSystemHeader(place)) {
        scope.push_back(declaration);
      }
    }
    found.Context->setTraversalScope(scope);
  }
};

class Module : public clang::tidy::ClangTidyModule {
 public:
  void addCheckFactories(clang::tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<OwnCode>("isthmus-own-code");
  }
};

const clang::tidy::ClangTidyModuleRegistry::Add<Module> module_added("isthmus", "keeps checks to the project's code");

}  // namespace
