using System.IO.Compression;
using System.Reflection.PortableExecutable;
using System.Text;
using System.Xml.Linq;
using Xunit;

namespace HouseTests;

/// <summary>What <c>dotnet pack</c> yields is what a user expects of a package.</summary>
public sealed class PackageTests(PackageTests.PackedFeed feed) : IClassFixture<PackageTests.PackedFeed>
{
    public static TheoryData<string> Projects => [.. Repository.Projects];

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_package_has_its_page_icon_license_documentation_and_assembly(string project)
    {
        using var package = feed.Open(project, "nupkg");
        var nuspec = Nuspec(package);

        Assert.Equal(project, Text(nuspec, "id"));
        Assert.Equal("MIT", Text(nuspec, "license"));
        Assert.Equal("README.md", Text(nuspec, "readme"));
        Assert.Equal("icon.png", Text(nuspec, "icon"));
        Assert.False(string.IsNullOrWhiteSpace(Text(nuspec, "description")), "no description");
        Assert.Equal(
            File.ReadAllText(Path.Combine(Repository.ProjectFolder(project), "README.md")),
            Encoding.UTF8.GetString(Read(package, "README.md")));
        Assert.NotEmpty(Read(package, "icon.png"));
        Assert.NotEmpty(Read(package, $"lib/net10.0/{project}.dll"));
        Assert.Contains("<member name=", Encoding.UTF8.GetString(Read(package, $"lib/net10.0/{project}.xml")), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_package_brings_its_symbols(string project)
    {
        using var symbols = feed.Open(project, "snupkg");
        Assert.NotEmpty(Read(symbols, $"lib/net10.0/{project}.pdb"));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void An_assembly_is_deterministic_and_names_no_machines_folder(string project)
    {
        using var package = feed.Open(project, "nupkg");
        using var symbols = feed.Open(project, "snupkg");
        var assembly = Read(package, $"lib/net10.0/{project}.dll");

        using var image = new PEReader(new MemoryStream(assembly));
        Assert.Contains(image.ReadDebugDirectory(), entry => entry.Type == DebugDirectoryEntryType.Reproducible);
        Assert.False(Contains(assembly, Repository.Root), "the assembly names the folder it was built in");
        Assert.False(
            Contains(Read(symbols, $"lib/net10.0/{project}.pdb"), Repository.Root), "the symbols name the folder they were built in");
    }

    [Fact]
    public void The_package_that_applications_reference_brings_the_others()
    {
        using var package = feed.Open("RaftKit", "nupkg");
        var dependencies = Nuspec(package).Descendants().Where(e => e.Name.LocalName == "dependency").Select(
            e => e.Attribute("id")!.Value).ToList();

        foreach (var part in new[] { "RaftKit.Consensus", "RaftKit.Node", "RaftKit.Znodes", "RaftKit.Recipes" })
            Assert.Contains(part, dependencies);
        Assert.DoesNotContain("RaftKit.TestKit", dependencies);
        Assert.DoesNotContain(dependencies, id => id.Contains("Analyzers", StringComparison.Ordinal));
    }

    private static XElement Nuspec(ZipArchive package)
    {
        var entry = package.Entries.Single(e => e.FullName.EndsWith(".nuspec", StringComparison.Ordinal));
        using var stream = entry.Open();
        return XDocument.Load(stream).Root!;
    }

    private static string? Text(XElement nuspec, string name) => nuspec.Descendants().FirstOrDefault(e => e.Name.LocalName == name)?.Value;

    private static byte[] Read(ZipArchive package, string name)
    {
        var entry = package.GetEntry(name);
        Assert.True(entry is not null, $"{name} is missing; there is {string.Join(", ", package.Entries.Select(e => e.FullName))}");
        using var stream = entry.Open();
        var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    private static bool Contains(byte[] bytes, string text) =>
        bytes.AsSpan().IndexOf(Encoding.UTF8.GetBytes(text)) >= 0 || bytes.AsSpan().IndexOf(Encoding.Unicode.GetBytes(text)) >= 0;

    /// <summary>Packed once for all of these tests.</summary>
    public sealed class PackedFeed : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();

        public Task InitializeAsync() => Feed.PackAsync(_folder.Path, Repository.Projects);

        public Task DisposeAsync()
        {
            _folder.Dispose();
            return Task.CompletedTask;
        }

        internal ZipArchive Open(string project, string kind) =>
            ZipFile.OpenRead(Directory.GetFiles(_folder.Path, $"{project}.?.?.?.{kind}").Single());
    }
}
