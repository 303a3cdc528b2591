using System.Text.RegularExpressions;
using System.Xml.Linq;
using HouseTests;
using Xunit;

namespace RaftKit.Tests;

/// <summary>What a user does first: reference the package, paste the README's lines, run.</summary>
public sealed partial class OutsideAppTests
{
    [Fact]
    public async Task READMEs_lines_run_in_an_app_that_references_nothing_but_the_package()
    {
        using var folder = new TemporaryFolder();
        var feed = folder.Sub("feed");
        await Feed.PackAsync(feed, Repository.Projects.Where(project => project != "RaftKit.TestKit"));

        // Beside the configured sources, with a package folder of its own: an older RaftKit of the same version in the machine's is not
        // seen.
        folder.Write("nuget.config", $"""
            <configuration>
              <packageSources><add key="local" value="{feed}" /></packageSources>
              <config><add key="globalPackagesFolder" value="{folder.Sub("packages")}" /></config>
            </configuration>
            """);
        folder.Write("App/App.csproj", $$"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="RaftKit" Version="{{Version()}}" />
              </ItemGroup>
            </Project>
            """);
        folder.Write("App/Program.cs", FirstLinesOfCode());
        var app = Path.Combine(folder.Path, "App");

        var (built, log) = await Dotnet.RunAsync(app, "build", "-nologo", "-v", "q", "-o", Path.Combine(folder.Path, "out"));
        Assert.True(built == 0, log);

        // Twice: what the first run wrote is there in the second, so the token has grown.
        var first = await RunAsync();
        var second = await RunAsync();
        Assert.True(second > first, $"token {second} after {first}");

        async Task<long> RunAsync()
        {
            var (exitCode, output) = await Dotnet.RunAsync(app, Path.Combine(folder.Path, "out", "App.dll"));
            Assert.True(exitCode == 0, output);
            var line = Printed().Match(output);
            Assert.True(line.Success, output);
            return long.Parse(line.Groups[1].Value);
        }
    }

    [Fact]
    public void There_are_ten_of_them() => Assert.Equal(10, FirstLinesOfCode().Split('\n').Count(line => line.Trim().Length > 0));

    private static string Version() =>
        XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props")).Descendants("Version").Single().Value;

    private static string FirstLinesOfCode()
    {
        var page = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");
        return FirstBlock().Match(page).Groups[1].Value;
    }

    [GeneratedRegex("```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex FirstBlock();

    [GeneratedRegex(@"^Leading with token (\d+)\.", RegexOptions.Multiline)]
    private static partial Regex Printed();
}
