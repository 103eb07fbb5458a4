use tenantry::{Entity, Id, Result, TenantSession};

#[derive(Entity)]
struct Task {
    title: String,
}

#[derive(Entity)]
struct Project {
    name: String,
}

fn rename(session: &TenantSession, task: Id<Task>) -> Result<()> {
    session.patch(task, Project::NAME.set("garden"))?;
    Ok(())
}

fn main() {}
