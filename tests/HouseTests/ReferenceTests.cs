using System.Reflection;
using System.Xml.Linq;
using Xunit;

namespace HouseTests;

/// <summary>References point the way DESIGN.md's arrows do, and nothing points the other way.</summary>
public sealed class ReferenceTests
{
    private static readonly Dictionary<string, string[]> Arrows = new()
    {
        ["RaftKit.Consensus"] = [],
        ["RaftKit.Node"] = ["RaftKit.Consensus"],
        ["RaftKit.Znodes"] = ["RaftKit.Node"],
        ["RaftKit.Recipes"] = ["RaftKit.Znodes"],
        ["RaftKit"] = ["RaftKit.Consensus", "RaftKit.Node", "RaftKit.Recipes", "RaftKit.Znodes"],
        ["RaftKit.TestKit"] = ["RaftKit.Node", "RaftKit.Recipes", "RaftKit.Znodes"],
    };

    public static TheoryData<string> Projects => [.. Repository.Projects];

    [Fact]
    public void Every_project_has_its_arrows_drawn_here() =>
        Assert.Equal(Arrows.Keys.Order(StringComparer.Ordinal), Repository.Projects);

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_file_references_exactly_what_its_arrows_say(string project)
    {
        var file = XDocument.Load(Path.Combine(Repository.ProjectFolder(project), project + ".csproj"));
        var references = file.Descendants("ProjectReference").Select(
            r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value.Replace('\\', '/')));

        Assert.Equal(Arrows[project].Order(StringComparer.Ordinal), references.Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_compiled_assembly_uses_nothing_against_the_arrows(string project)
    {
        var used = Assembly.Load(project).GetReferencedAssemblies().Select(a => a.Name!)
            .Where(name => name == "RaftKit" || name.StartsWith("RaftKit.", StringComparison.Ordinal));

        Assert.Empty(used.Except(Reachable(project)));
    }

    [Fact]
    public void The_consensus_core_uses_no_package_and_only_the_base_library()
    {
        var file = XDocument.Load(Path.Combine(Repository.ProjectFolder("RaftKit.Consensus"), "RaftKit.Consensus.csproj"));
        Assert.Empty(file.Descendants("PackageReference"));
        Assert.All(Assembly.Load("RaftKit.Consensus").GetReferencedAssemblies(), a => Assert.StartsWith("System.", a.Name));
    }

    private static IEnumerable<string> Reachable(string project) => Arrows[project].SelectMany(r => Reachable(r).Append(r)).Distinct();
}
